"""Precision: which type each module's output has under mixed precision, and how far it is off."""

from __future__ import annotations

from dataclasses import dataclass

from honed.mixed_precision import MixedPrecision
from honed.phase import Phase
from honed.run.needs import INPUTS
from honed.run.passes.base import Gathered, Loaded, Merged

NEEDS = (INPUTS,)
BARRIERS = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What one small call showed."""

    observed: MixedPrecision


def work(loaded: Loaded) -> Part | None:
    """None for other instances than the first, and for steps without mixed precision."""
    if loaded.job.seat.index:
        return None
    loaded.on_phase(Phase.CHECKING)
    observed = loaded.step.mixed_precision()
    return None if observed is None else Part(observed)


def merge(gathered: Gathered[Part]) -> Merged:
    return Merged(recorded=gathered.parts[0])
