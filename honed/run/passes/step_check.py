"""Step check: what a training step or a kernel computes, beside plain fp32 arithmetic.

It runs after everything that is timed, because its calls would warm the process up.
"""

from __future__ import annotations

from dataclasses import dataclass

from honed.instruments import fidelity
from honed.phase import Phase
from honed.record import Fidelity
from honed.run.needs import Need
from honed.run.passes.base import Gathered, Loaded, Merged

NEEDS: tuple[Need, ...] = ()
BARRIERS = ()


@dataclass(frozen=True, slots=True)
class Part:
    """How far this instance's arrays are off, and why that is too far (empty: it is not)."""

    fidelity: Fidelity
    complaint: str


def work(loaded: Loaded) -> Part | None:
    """None for other instances than the first, and where the step has nothing to compare."""
    if loaded.job.seat.index:
        return None
    loaded.on_phase(Phase.CHECKING)
    checked = loaded.step.self_check()
    if checked is None:
        return None
    compared = fidelity.compare(
        checked.reference, checked.outputs, loaded.case.precision, against=checked.against
    )
    return Part(compared, fidelity.complaint(compared))


def merge(gathered: Gathered[Part]) -> Merged:
    part = gathered.parts[0]
    return Merged(fidelity=part.fidelity, diverged=(part.complaint,) if part.complaint else ())
