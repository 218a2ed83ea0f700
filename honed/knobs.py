"""The catalogue of knobs: which exist, who declares each, and which apply to a Case.

Each knob is declared in KNOBS of the file that applies it. The catalogue collects them by listing
directories, so that it imports neither a room nor a framework before someone needs the knobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from honed import discovery
from honed.case import CORE_FIELDS, CORE_KEYS, Case
from honed.knob import Knob, Value

# Rooms whose knobs belong to no backend and no workload: those of the machine and the inputs.
_FREE_ROOMS = ("honed.machine.knobs", "honed.models.knobs")
_OWNED_ROOMS = ("honed.backends", "honed.workloads")


@cache
def all_knobs() -> Mapping[str, Knob]:
    """Every knob of any backend or workload, of the inputs and of the machine, by its key."""
    rooms = map(discovery.survey, (*_FREE_ROOMS, *_OWNED_ROOMS))
    files = [module for room in rooms for module in room.working.values()]
    return {knob.name: knob for module in files for knob in getattr(module, "KNOBS", ())}


def listed_knobs() -> Mapping[str, Knob]:
    """The knobs that help texts list: all except those of hidden backends and workloads."""
    surveys = [discovery.survey(room) for room in _OWNED_ROOMS]
    hidden = {name for s in surveys for name in set(s.working) - set(s.listed)}
    return {name: knob for name, knob in all_knobs().items() if knob.owner not in hidden}


def known_keys() -> dict[str, str]:
    """Every key that help texts list, with its help line."""
    core = {f.name: str(f.metadata["help"]) for f in CORE_FIELDS}
    return core | {k.name: f"{k.help} ({k.choices})" for k in listed_knobs().values()}


def owner_of(key: str) -> str:
    """The backend or workload whose knob `key` names; empty for every other key."""
    return key.rpartition(".")[0]


def workloads_of(key: str) -> tuple[str, ...]:
    """The workloads that the setting belongs to; empty if it belongs to every one."""
    knob = all_knobs().get(key)
    return () if knob is None else knob.workloads


def belongs(key: str, backend: str, workload: str) -> bool:
    """Whether a Case of this backend and workload may have the setting `key`."""
    if key in CORE_KEYS:
        return True
    if only := workloads_of(key):
        return workload in only
    return owner_of(key) in ("", "model", backend, workload)


def applicable_knobs(case: Case) -> dict[str, Knob]:
    """The knobs that belong to the Case: all except those of other backends and workloads."""
    return {
        key: knob for key, knob in all_knobs().items() if belongs(key, case.backend, case.workload)
    }


def filled_in(case: Case) -> dict[str, Value | None]:
    """The Case as a record keeps it: every field, and every applicable knob (null: untouched)."""
    core: dict[str, Value | None] = {key: case.get(key) for key in CORE_KEYS}
    return core | dict.fromkeys(applicable_knobs(case)) | dict(case.knobs)
