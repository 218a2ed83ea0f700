"""What the workloads whose calls have phases share: their knobs, and how calls are sampled."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

from honed.knob import Knob, Span
from honed.step import PHASES, Phased
from honed.workloads.base import Sampling, Timeline

_WORKLOADS = ("train_step", "attention")
WHOLE = "step"  # the name of the whole call among the phases

UNTIL = Knob("until", "the last phase of a call; unset: all phases", PHASES,
             workloads=_WORKLOADS)  # fmt: skip
WARMUP_STEPS = Knob("warmup_steps",
                    "calls before the measured ones, the first call included; unset: until the "
                    "times are steady", Span(0, 100_000), workloads=_WORKLOADS)  # fmt: skip
STEPS = Knob("steps",
             "measure exactly this many calls; unset: as duration_s and min_samples say",
             Span(1, 1_000_000), workloads=_WORKLOADS)  # fmt: skip
KNOBS = (UNTIL, WARMUP_STEPS, STEPS)


def sample(call: Callable[[Any], Any], feeds: Sequence[Any], how: Sampling) -> Timeline:
    """Call with each feed in turn, and keep the times of the phases of each call.

    With `steps` every instance makes exactly this many calls. Without it an instance goes on until
    its siblings have enough calls too, so that they stay under load.
    """
    clock = time.perf_counter_ns
    case, steps = how.case, how.case.get(STEPS.name)
    least = case.min_samples if steps is None else int(steps)
    began: list[int] = []
    ended: list[int] = []
    phases: dict[str, list[int]] = {}
    how.begin()
    deadline = clock() + (int(case.duration_s * 1e9) if steps is None else 0)
    enough = False
    for feed in itertools.cycle(feeds):
        begin = clock()
        returned: Phased = call(feed)
        end = clock()
        began.append(begin)
        ended.append(end)
        for name, taken_ns in {**returned.phases_ns, WHOLE: end - begin}.items():
            phases.setdefault(name, []).append(taken_ns)
        if not enough and end >= deadline and len(ended) >= least:
            enough = True
            how.done()
        if enough and (steps is not None or how.others_done()):
            break
    return Timeline(began, ended, phases_ns=phases)
