"""Does the throughput of two instances agree with a count made by another process?

    python -m benchmarks.instances [ROUNDS]

The engine is torch with one more line: each finished call adds one to a counter in shared memory.
An observer reads the counters every millisecond. Its count over the window of the record is
compared with the throughput of the record.
"""

from __future__ import annotations

import mmap
import os
import shutil
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from pathlib import Path

import honed
from benchmarks._common import honed_run, summary

COUNTED = '''
"""torch, with a counter that another process can read."""
import fcntl, mmap, os, struct
from honed.backends.torch import *
from honed.backends import torch as _torch
REFERENCE = "torch"
KNOBS = ()

def load(request, artifact):
    step = _torch.load(request, artifact)
    file = open(os.environ["HONED_COUNTER"], "r+b")
    fcntl.flock(file, fcntl.LOCK_EX)
    shared = mmap.mmap(file.fileno(), 0)
    slot = shared.find(b"\\0")  # the first free slot of 16 bytes
    slot = next(i for i in range(0, 64, 16) if not shared[i])
    shared[slot] = 1
    fcntl.flock(file, fcntl.LOCK_UN)
    view = memoryview(shared).cast("q")
    run = step.run
    def counted(feed):
        raw = run(feed)
        view[slot // 8 + 1] += 1
        return raw
    step.run = counted
    return step
'''


class Observer(threading.Thread):
    """Records (time, total calls) about every millisecond."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.file = open(path, "r+b")  # noqa: SIM115
        self.view = memoryview(mmap.mmap(self.file.fileno(), 0)).cast("q")
        self.times: list[float] = []
        self.counts: list[int] = []
        self.stopped = False

    def run(self) -> None:
        while not self.stopped:
            count = sum(self.view[i] for i in (1, 3))
            if not self.counts or count != self.counts[-1]:
                self.times.append(time.time())
                self.counts.append(count)
            time.sleep(0.001)

    def at(self, when: float) -> int:
        index = bisect_right(self.times, when)
        return self.counts[index - 1] if index else 0


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ratios = []
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        shutil.copytree(Path(honed.__file__).parent, source / "honed")
        (source / "honed" / "backends" / "counted.py").write_text(COUNTED)
        counter = Path(scratch) / "counter"
        environment = os.environ | {"PYTHONPATH": str(source), "HONED_COUNTER": str(counter)}
        for _ in range(rounds):
            counter.write_bytes(bytes(64))
            observer = Observer(counter)
            observer.start()
            record = honed_run(
                "model=minilm", "backend=counted", "instances=2", "threads=1",
                "duration_s=8", env=environment,
            )  # fmt: skip
            observer.stopped = True
            observer.join()
            began = record["samples"]["window_began_s"]
            window_s = record["metrics"]["window_s"]
            outside = (observer.at(began + window_s) - observer.at(began)) / window_s
            inside = record["metrics"]["throughput_per_s"]["value"]
            ratios.append(inside / outside)
            print(f"record {inside:8.2f}/s   counted from outside {outside:8.2f}/s", flush=True)
    print("record / outside:", summary(ratios))


if __name__ == "__main__":
    main()
