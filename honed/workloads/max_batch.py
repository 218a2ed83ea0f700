"""The largest batch size that fits: a search over Cases, and no traffic of its own.

`honed.max_batch` measures one Case after another, each with the calls of another workload, in
processes of its own under a ceiling of memory. A worker never runs this workload.
"""

from __future__ import annotations

from honed.case import Case
from honed.knob import Knob
from honed.workloads import closed_loop, train_step

HELP = "the largest batch size that fits in memory=2GiB: tries, each in a process of its own"
MODE = Knob("mode", "what a batch has to fit for; unset: infer", ("infer", "train"),
            workloads=("max_batch",))  # fmt: skip
KNOBS = (MODE,)
STEP = closed_loop.STEP
PASSES: tuple[str, ...] = ()  # those of the workload that a try runs
PROCESSES = 8  # about as many tries, one after another
sample = closed_loop.sample
work_per_call = closed_loop.work_per_call


def workload_of_try(case: Case) -> str:
    """The workload of the Cases that are tried."""
    return "train_step" if case.get(MODE.name) == "train" else "closed_loop"


def parts_of_batch(case: Case) -> int:
    """How many equal parts a batch of a training step is split into: sizes are multiples of it."""
    if case.get(MODE.name) != "train":
        return 1
    return int(case.get(train_step.ACCUMULATION.name) or 1)
