"""Do two instances of one thread prove their cores and threads every time?

    python -m benchmarks.pinning [RUNS] [BACKEND,...]

Each run must end `ok`: one running thread per worker, a thread pool of size one, every thread
bound to the core of its worker, and different cores for the two workers.
"""

from __future__ import annotations

import sys

from honed.case import Case
from honed.run.parent import measure


def proven(backend: str) -> bool:
    record = measure(
        Case(
            model="tiny-bert", backend=backend, instances=2, threads=1, sequence_length=64,
            duration_s=0.1, warmup_s=0.1, memory=False,
        )
    )  # fmt: skip
    cpus = [tuple(e["cpus"]) for e in record.effective]
    one_thread = all(e["threads"] == 1 and e["threads_running"] == 1 for e in record.effective)
    ran_there = all(set(e["cpus_ran_on"]) <= set(e["cpus"]) for e in record.effective)
    good = record.ok and one_thread and ran_there and len(set(cpus)) == 2
    if not good:
        print(backend, record.status, record.error, cpus, flush=True)
    return good


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    backends = sys.argv[2].split(",") if len(sys.argv) > 2 else ["torch", "onnxruntime"]
    for backend in backends:
        passed = sum(proven(backend) for _ in range(runs))
        print(f"{backend}: {passed} of {runs} runs proved threads and cores", flush=True)


if __name__ == "__main__":
    main()
