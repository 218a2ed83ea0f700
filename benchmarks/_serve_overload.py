"""More requests than a server can answer: `python -m benchmarks.serve --overload 60`.

An open loop is sent at rates that rise by a tenth, for --round seconds each. The knee is the
greatest rate at which 99 % of the answers came within the limit and none was refused. Then twice
this rate is sent for a minute. Printed: the answers within the limit per second at both, how soon
refusals came, the p99 of what was admitted, and how far the predicted wait was from the real one.
An answer other than 200 and 429, or a lost one, ends the benchmark.
"""

from __future__ import annotations

import argparse
import random
import sys
from contextlib import ExitStack

import numpy as np

from benchmarks._load import Answer, checked
from benchmarks._servers import Server, honed_server

_LIMIT_S = 0.5
_MAX_WAIT_S = 0.3  # of the server: the answers of what it admits then come within the limit
_STEP = 1.1
_BEGIN = 0.5  # of the closed loop's rate


def measure(served: list[str], flat: list[str], asked: argparse.Namespace) -> None:
    words = [*served, f"max_wait_s={_MAX_WAIT_S}"]
    with ExitStack() as stack:
        server = honed_server("honed", words, stack)
        corpus = [[text] for text in flat]
        with server.load(corpus) as load:
            answers = load.closed(16, asked.round)
        closed_per_s = len(answers) / asked.round
        print(f"closed loop of 16: {closed_per_s:.1f} requests/s", flush=True)
        knee = knee_good = 0.0
        rate = _BEGIN * closed_per_s
        while True:
            found = _open(server, corpus, rate, asked.round, seed=1)
            good = _good(found) / asked.round
            took_ms = 1e3 * float(np.quantile([a.took_s for a in found], 0.99))
            refused = sum(a.status == 429 for a in found)
            print(f"{rate:8.1f} requests/s: {good:7.1f} within {1e3 * _LIMIT_S:.0f} ms, p99 "
                  f"{took_ms:7.1f} ms, {refused} refused", flush=True)  # fmt: skip
            if refused or took_ms > 1e3 * _LIMIT_S:
                break
            knee, knee_good = rate, good
            rate *= _STEP
        if not knee:
            sys.exit("even the first rate was too much: nothing can be said")
        found = _open(server, corpus, 2 * knee, asked.overload, seed=2)
        _print(found, knee, knee_good, asked.overload)
        if server.process.poll() is not None:
            sys.exit("the server has ended")


def _open(
    server: Server, corpus: list[list[str]], rate: float, seconds: float, seed: int
) -> list[Answer]:
    draw = random.Random(seed)
    offsets_s, at_s = [], draw.expovariate(rate)
    while at_s < seconds:
        offsets_s.append(at_s)
        at_s += draw.expovariate(rate)
    places = [draw.randrange(len(corpus)) for _ in offsets_s]
    with server.load(corpus) as load:
        found = load.open(offsets_s, places)
    checked(found, lambda _: 1, refusals=True)
    if len(found) != len(offsets_s):
        sys.exit(f"{len(offsets_s) - len(found)} answers were lost")
    return found


def _good(answers: list[Answer]) -> int:
    return sum(a.status == 200 and a.took_s <= _LIMIT_S for a in answers)


def _print(answers: list[Answer], knee: float, knee_good: float, seconds: float) -> None:
    admitted = [a for a in answers if a.status == 200]
    refused_ms = np.array([a.ended_s - a.sent_s for a in answers if a.status == 429]) * 1e3
    good = _good(answers) / seconds
    print(f"twice the knee, {2 * knee:.1f} requests/s for {seconds:g} s:")
    print(f"  {good:.1f} answers/s within the limit, {good / knee_good:.0%} of the knee's")
    took_ms = np.array([a.took_s for a in admitted]) * 1e3
    print(f"  admitted {len(admitted)}: p50 {np.quantile(took_ms, 0.5):.1f} ms, p99 "
          f"{np.quantile(took_ms, 0.99):.1f} ms (limit {1e3 * _LIMIT_S:.0f})")  # fmt: skip
    print(f"  refused {len(refused_ms)}: p50 {np.quantile(refused_ms, 0.5):.2f} ms, p99 "
          f"{np.quantile(refused_ms, 0.99):.2f} ms")  # fmt: skip
    waits = np.array([(a.timing_ms("queue"), a.timing_ms("predicted")) for a in admitted], float)
    waits = waits[(waits > 1).all(axis=1)]
    apart = np.abs(waits[:, 1] / waits[:, 0] - 1)
    print(f"  predicted wait: {np.median(apart):.0%} from the real one at the median, "
          f"{np.quantile(apart, 0.9):.0%} at the 90th percentile (n={len(apart)})")  # fmt: skip
    late_ms = np.array([a.sent_s - a.intended_s for a in answers]) * 1e3
    print(f"  the sender was late by {np.quantile(late_ms, 0.99):.2f} ms at p99")
