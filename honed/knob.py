"""Knob: one setting, declared in the file that applies it.

The CLI key, the search space, the record's column, the importance label and the help line are all
derived from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Value = bool | int | float | str
Phase = Literal["system", "spawn", "load"]
Scale = Literal["nominal", "linear", "log2"]


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether something can be used here; `why` not, and `how` to get it (a command).

    `needs` are the packages that are missing, where that is all.
    """

    ok: bool
    why: str = ""
    how: str = ""
    needs: tuple[str, ...] = ()


AVAILABLE = Availability(True)


@dataclass(frozen=True, slots=True)
class Span:
    """Every integer from `low` to `high`, both included."""

    low: int
    high: int

    def __contains__(self, value: object) -> bool:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high  # type: ignore[operator]

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


@dataclass(frozen=True, slots=True)
class SpawnEffect:
    """What a spawn-phase knob changes about a child before its first instruction.

    `in_child` names calls that the worker makes before any framework is imported, as
    {function: argument}; `honed.machine.spawn` finds them in the room's IN_CHILD tables.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    preload: tuple[str, ...] = ()
    in_child: Mapping[str, Value] = field(default_factory=dict)


def _always() -> Availability:
    return AVAILABLE


def _no_effect(_: Value) -> SpawnEffect:
    return SpawnEffect()


def _unproven() -> Value | None:
    return None


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting. Unset (None) means untouched.

    A system-phase knob changes the whole machine around the workers, and only when allowed.

    `name` is the whole key a user types: `allocator`, `torch.mode`. A spawn-phase knob is applied
    by `spawn(value)` and proven by `read_back()` inside the worker; a load-phase knob is applied
    and read back by the backend or workload that declares it. `proves(asked, got)` decides
    whether what was read back is what was asked for; by default, equality. `beside` names other
    knobs and the values of theirs beside which this one means something (None: unset); `pool` is
    the thread pool that it is a setting of, for engines that have it. `moot()` says why no value
    changes anything on this machine; a search then leaves the knob out.
    """

    name: str
    help: str
    values: tuple[Value, ...] | Span
    phase: Phase = "load"
    scale: Scale = "nominal"
    available: Callable[[], Availability] = _always
    available_value: Callable[[Value], Availability] | None = None
    spawn: Callable[[Value], SpawnEffect] = _no_effect
    read_back: Callable[[], Value | None] = _unproven
    proves: Callable[[Value, Value], bool] = lambda asked, got: asked == got
    beside: Mapping[str, tuple[Value | None, ...]] = field(default_factory=dict)
    pool: str = ""
    moot: Callable[[], str] = str

    @property
    def owner(self) -> str:
        """The backend or workload that declares it; empty for the machine's own knobs."""
        return self.name.rpartition(".")[0]

    @property
    def of(self) -> Literal["engine", "inputs", "machine"]:
        """Whose setting it is; the knobs of a workload count as an engine's."""
        if self.owner:
            return "engine"
        return "inputs" if self.phase == "load" else "machine"

    def allows(self, value: Value) -> bool:
        if isinstance(self.values, Span):
            return value in self.values
        return any(value == v and type(value) is type(v) for v in self.values)

    @property
    def choices(self) -> str:
        if isinstance(self.values, Span):
            return str(self.values)
        return ", ".join(str(v).lower() if isinstance(v, bool) else str(v) for v in self.values)
