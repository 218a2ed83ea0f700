"""The arguments and the clock of the plain scripts, without honed.

A script appends its folder to the end of sys.path to import this file, and runs with python -P,
because the scripts have the names of the packages that they import.
"""

import json
import statistics
import sys
import time


def shape_arguments():
    """FOLDER, BATCH and LENGTH from the command line."""
    return sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def threads():
    """THREADS: the size of the thread pool; 0 leaves the default of the engine."""
    return int(sys.argv[6])


def report(call):
    """Warm up for WARMUP_S, time calls for DURATION_S, print {"p50_s": ..., "calls": ...}."""
    _timed(call, float(sys.argv[4]), least=3)
    times = _timed(call, float(sys.argv[5]), least=10)
    print(json.dumps({"p50_s": statistics.median(times), "calls": len(times)}))


def _timed(call, seconds, least):
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < least:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times
