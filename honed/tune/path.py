"""The path from the default to a setting: one key after the other, in the order of a reader."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from honed.errors import HonedError
from honed.knob import Value
from honed.knobs import all_knobs
from honed.study import Setting
from honed.tune.space import ROOT, Space
from honed.values import as_typed
from honed.workers.seat import seats

# Engine and precision, then the cores and how they are shared, then the batch. The other knobs
# follow by whose they are.
_FIRST = (*ROOT, "smt", "numa", "instances", "threads", "sizes", "batch_size")
_THEN = ("inputs", "engine", "machine")


@dataclass(frozen=True, slots=True)
class Leg:
    """One step of a path: the keys that change in it, and the setting that it leads to."""

    keys: tuple[str, ...]
    setting: Setting

    @property
    def key(self) -> str:
        """`threads`; `backend+precision` where two keys change together."""
        return "+".join(self.keys)

    @property
    def value(self) -> Value | None:
        """The new value; those of several keys joined like the keys. None: untouched."""
        if len(self.keys) == 1:
            return self.setting.get(self.keys[0])
        return "+".join(as_typed(self.setting.get(key)) for key in self.keys)

    @property
    def is_root(self) -> bool:
        """Whether it changes nothing but the engine and the precision."""
        return set(self.keys) <= set(ROOT)


def path(space: Space, to: Setting, without: Container[Setting] = ()) -> tuple[Leg, ...]:
    """The legs from the default to `to`. A setting on the way that cannot run here, or is one of
    `without`, is left out: its key then changes together with the next one."""
    at, legs, keys = space.default, list[Leg](), tuple[str, ...]()
    for key in sorted({*at, *to}, key=_place):
        if at.get(key) == to.get(key):
            continue
        before, at, keys = at, space.normal({**at, key: to.get(key)}), (*keys, key)
        if legs and key == "threads" and _same_seats(space, before, at):
            keys = (*legs.pop().keys, key)
        if at == to or (at not in without and space.refusal(at) is None):
            legs.append(Leg(keys, at))
            keys = ()
    return tuple(legs)


def _same_seats(space: Space, one: Setting, other: Setting) -> bool:
    """Whether each instance has the same cores: `instances=2 threads=1` is `instances=2` on two
    cores, and no step leads from one to the other."""
    try:
        return seats(space.case(one)) == seats(space.case(other))
    except HonedError:
        return False


def stops(space: Space, legs: tuple[Leg, ...]) -> tuple[Setting, ...]:
    """The settings of the path: the default, and where each leg leads."""
    return (space.default, *(leg.setting for leg in legs))


def _place(key: str) -> tuple[int, int, str]:
    """A knob that has an effect only beside others comes after them."""
    if key in _FIRST:
        return _FIRST.index(key), 0, key
    knob = all_knobs()[key]
    return len(_FIRST) + _THEN.index(knob.of), len(knob.beside), key
