"""What all instances measured, merged into one Record with a status that was earned."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import honed
from honed.backends.base import engine_packages
from honed.case import Case
from honed.knobs import filled_in
from honed.machine import facts
from honed.machine.interference import Watch
from honed.plain import to_plain
from honed.record import Doubt, Error, Record, Status
from honed.run.job import Prepared
from honed.run.passes.base import Gathered, Measured, Merged, passes_of
from honed.workers.channel import Failed
from honed.workers.interpreter import Interpreter
from honed.workers.seat import Seat

# The fields of a Record that a pass may fill.
_FIELDS = ("effective", "inputs", "samples", "metrics", "memory", "fidelity", "accuracy")


def failure(case: Case, failed: Failed) -> Record:
    """The Record of a Case that gave no result."""
    return Record(
        **_identity(case),
        status=failed.status,
        error=Error(failed.kind, failed.message, failed.hint),
        machine=facts.machine_facts(packages=engine_packages()),
    )


def record(
    case: Case,
    seats: Sequence[Seat],
    results: Sequence[Measured],
    prepared: Prepared,
    watch: Watch,
) -> Record:
    """The Record of a Case whose every instance gave a result."""
    machine = facts.machine_facts(packages=engine_packages())
    loads = [result.load for result in results]
    merged: dict[str, Merged] = {}
    for name, each in passes_of(case).items():
        parts = [p for result in results if (p := result.parts.get(name)) is not None]
        if parts:
            gathered = Gathered(case, prepared, seats, loads, parts, watch, machine)
            merged[name] = each.merge(gathered)
    refused = tuple(doubt for load in loads for doubt in load.refused)
    status, error = _status(list(merged.values()), refused)
    filled = {f: v for m in merged.values() for f in _FIELDS if (v := getattr(m, f)) is not None}
    least = [m.neighbour_cosine_min for m in merged.values() if m.neighbour_cosine_min is not None]
    if least and "fidelity" in filled:
        filled["fidelity"] = replace(filled["fidelity"], neighbour_cosine_min=min(least))
    kinds = next((m.by_kind for m in merged.values() if m.by_kind is not None), None)
    if kinds is not None and "memory" in filled:
        filled["memory"] = replace(filled["memory"], by_kind=kinds)
    recorded = {n: to_plain(m.recorded) for n, m in merged.items() if m.recorded is not None}
    doubts = (*(d for m in merged.values() for d in m.doubts), *refused)
    return Record(
        **_identity(case), status=status, error=error, machine=machine, doubts=doubts,
        passes=recorded or None, **filled,
    )  # fmt: skip


def ran_by(record: Record, elsewhere: Interpreter) -> Record:
    """The record with the versions of the interpreter that ran it, where it was not this one."""
    return replace(record, machine={**record.machine, **asdict(elsewhere)})


def _identity(case: Case) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex[:12],
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "honed": honed.__version__,
        "case": filled_in(case),
    }


def _status(merged: Sequence[Merged], refused: Sequence[Doubt]) -> tuple[Status, Error | None]:
    diverged = [sentence for of_pass in merged for sentence in of_pass.diverged]
    unproven = [sentence for of_pass in merged for sentence in of_pass.unproven]
    if diverged:
        hint = "do not deploy this setting; try another precision or engine"
        return "diverged", Error("Diverged", "; ".join(diverged), hint)
    if unproven:
        message = f"not proven to have taken effect: {'; '.join(unproven)}"
        hint = "; ".join(d.message for d in refused) or "honed show lists what was read back"
        return "unproven", Error("Unproven", message, hint)
    return "ok", None
