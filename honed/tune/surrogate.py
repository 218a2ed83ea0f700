"""The keys of a space as `statistics.effects` knows them: for the sampler and the importances."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

from honed.knobs import all_knobs, belongs, owner_of
from honed.statistics.effects import Effects, Key
from honed.study import Setting
from honed.tune.policy import POLICY
from honed.tune.space import ROOT, Space


def fitted(space: Space, settings: Sequence[Setting], logs: Sequence[float]) -> Effects:
    """The effects of each key on the logarithms `logs`, one for each setting."""
    return Effects(keys(space, settings), [row(space, s) for s in settings], logs)


def keys(space: Space, tried: Iterable[Setting] = ()) -> dict[str, Key]:
    """Every searched key with its values, and with those that were tried beside them (an engine
    may be given a value that was not asked for)."""
    rows = [row(space, setting) for setting in tried]
    engines = {b.backend for b in space.branches}
    ordered = {d.key for d in space.dimensions if d.ordered}
    found = {}
    for name, axis in space.axes().items():
        values = dict.fromkeys([*axis.values, *(of[name] for of in rows if name in of)])
        share = 1 / len(engines) if owner_of(name) in engines else 1.0
        found[name] = Key(tuple(values), _expected(name), name in ordered, share)
    return found


def row(space: Space, setting: Setting) -> Mapping[str, Hashable]:
    """The value of each key that applies to the engine of the setting."""
    backend = setting.branch[0]
    starts = {d.key: d.start for d in space.dimensions if belongs(d.key, backend, "")}
    return {**starts, **{k: v for k, v in setting.items() if k in starts or k in ROOT}}


def _expected(name: str) -> float:
    """How large the effects of a key are expected to be, as a logarithm."""
    if name in ROOT:
        return POLICY.expected_root
    knob = all_knobs().get(name)
    if knob is None:
        return POLICY.expected_structure
    sizes = {
        "engine": POLICY.expected_engine_knob,
        "inputs": POLICY.expected_inputs_knob,
        "machine": POLICY.expected_machine_knob,
    }
    return sizes[knob.of]
