"""One process of a deployment: loads a Case as a worker does, calls it, and says what it took.

Reads a line with a Job as JSON, prints a line when it is loaded, reads how many tokens
to call with, and prints a JSON line of bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from honed.instruments import memory
from honed.machine.affinity import pin
from honed.models.inputs import random_inputs
from honed.plain import from_plain
from honed.run.job import Job
from honed.run.measure import load
from honed.workers.process import Desk

_CALLS = 3


def main() -> None:
    job: Job = from_plain(Job, json.loads(sys.stdin.readline()))
    if job.seat.cpus:
        pin(job.seat.cpus)
    facts, loaded = load(job, Desk(lambda _: None))
    print("loaded", flush=True)
    tokens = int(sys.stdin.readline() or 0)
    case = job.case
    calls = max(_CALLS, tokens // (case.batch_size * case.sequence_length))
    shape = (case.batch_size, case.sequence_length)
    words = random_inputs(job.prepared.checkpoint, *shape, seed=1, batches=calls)
    feeds = [loaded.step.prepare(batch) for batch in words.batches]
    with memory.ResidentPeak() as peak:
        for feed in feeds[:-1]:
            loaded.step.run(feed)
        before = _read_bytes()
        loaded.step.run(feeds[-1])
    print(json.dumps({
        "read": _read_bytes() - before,
        "load_anon": facts.load_anon_peak_bytes, "load_total": facts.load_peak_bytes,
        "anon": peak.anon_bytes, "file": peak.file_bytes, "total": peak.total_bytes,
    }), flush=True)  # fmt: skip
    sys.stdin.readline()  # until every process has been measured


def _read_bytes() -> int:
    """What this process has had read from the disk, also for pages of mapped files."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["read_bytes"])


if __name__ == "__main__":
    main()
