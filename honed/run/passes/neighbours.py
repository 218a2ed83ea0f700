"""Neighbours: does what the engine gives for a text depend on the other texts of its batch?

An engine that takes the range of activations over the whole batch, padding included, rounds the
same text in another way beside other texts. A few calls, in the first instance only, after
everything that is timed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from honed.backends.base import Batch, traits
from honed.case import Case
from honed.instruments import neighbours
from honed.phase import Phase
from honed.record import Doubt
from honed.run.needs import INPUTS
from honed.run.passes.base import Gathered, Loaded, Merged

NEEDS = (INPUTS,)
BARRIERS = ()


@dataclass(frozen=True, slots=True)
class Part:
    """The least cosine between two outputs for the same text."""

    cosine_min: float


def work(loaded: Loaded) -> Part | None:
    """None for other instances than the first, and where every text is a batch of its own."""
    if loaded.job.seat.index or loaded.case.batch_size == 1:
        return None
    loaded.on_phase(Phase.CHECKING)
    step, batches = loaded.step, loaded.inputs.batches

    def call(batch: Batch) -> Any:
        return step.outputs(step.run(step.prepare(batch)))

    checkpoint = loaded.job.prepared.checkpoint
    configured = checkpoint.config.get("pad_token_id")
    padding_id = neighbours.find_padding_id(batches, configured or 0)
    count = neighbours.texts_for(loaded.case.precision)
    least = neighbours.least_cosine(batches, padding_id, call, count)
    return None if least is None else Part(least)


def merge(gathered: Gathered[Part]) -> Merged:
    case, least = gathered.case, gathered.parts[0].cosine_min
    tolerance = neighbours.TOLERANCES[case.precision]
    complaint = _complaint(case, least)
    return Merged(
        neighbour_cosine_min=least,
        doubts=(_doubt(case, least, tolerance),) if least < tolerance else (),
        diverged=(complaint,) if complaint else (),
    )


def _doubt(case: Case, least: float, tolerance: float) -> Doubt:
    return Doubt(
        "neighbours",
        f"the output for a text depends on the other texts of its batch: two outputs for the "
        f"same text have cosine {least:.4f} (rounding alone: {tolerance:g} or more); "
        f"{_way_out(case)} gives each text one output",
    )


def _complaint(case: Case, least: float) -> str:
    allowed = case.max_neighbour_drift
    if allowed is None or least >= 1 - allowed:
        return ""
    return (
        f"two outputs for the same text beside other texts have cosine {least:.4f}: more than "
        f"max_neighbour_drift={allowed:.4g} apart; use {_way_out(case)}"
    )


def _way_out(case: Case) -> str:
    steady = traits(case.backend).neighbour_free if case.precision == "int8" else ""
    return f"{steady} or batch_size=1" if steady else "batch_size=1"
