"""Knob: one setting, declared in the file that applies it.

The CLI key, the search space, the record's column, the importance label and the help line all
derive from the Knob.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from honed.errors import UsageError, nearest
from honed.values import as_typed

Value = bool | int | float | str
Phase = Literal["system", "spawn", "load"]
Scale = Literal["nominal", "linear", "log2"]


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine, a knob or a value can be used on this machine.

    why: the reason if it cannot.
    how: the command that makes it available.
    needs: the missing packages, if installing them is enough.
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
    """What a spawn-phase knob changes about a child process before its first instruction.

    `in_child` names calls that the worker makes before it imports any framework, as
    {function: argument}; `honed.machine.spawn` finds the functions in the IN_CHILD tables.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    preload: tuple[str, ...] = ()
    in_child: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Text:
    """Any word that a person types; `form` shows what it looks like."""

    form: str

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and bool(value)

    def __str__(self) -> str:
        return self.form


def _always() -> Availability:
    return AVAILABLE


def _no_effect(_: Value) -> SpawnEffect:
    return SpawnEffect()


def _unproven() -> Value | None:
    return None


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting. Unset (None) means that honed leaves it as it is.

    name: the whole key that a user types: `allocator`, `torch.mode`.
    phase: when the setting is applied. A system-phase knob changes the whole machine around the
        workers, only when the user allows it. A spawn-phase knob is applied by `spawn(value)`
        before a worker starts, and `read_back()` inside the worker proves it. A load-phase knob
        is applied and read back by the backend or workload that declares it.
    proves: proves(asked, got) decides whether the value that was read back is the one that was
        asked for; by default, equality.
    beside: other knob -> the values that it must have for this knob to have an effect; None means
        unset.
    pool: the thread pool that the knob configures; it applies to engines with this pool.
    workloads: the workloads that the knob belongs to; empty: it belongs to every one.
    others: a regular expression of values beside `values`, and `others_help`, how people write
        them.
    moot: the reason why no value changes anything on this machine, else empty; a search leaves
        a moot knob out.
    promising: the value that is expected to be faster; a search tries it early.
    one_shape: the knob is for calls that all have one shape. A search over inputs of many lengths
        leaves it out, and so does a server.
    """

    name: str
    help: str
    values: tuple[Value, ...] | Span | Text
    phase: Phase = "load"
    scale: Scale = "nominal"
    available: Callable[[], Availability] = _always
    available_value: Callable[[Value], Availability] | None = None
    spawn: Callable[[Value], SpawnEffect] = _no_effect
    read_back: Callable[[], Value | None] = _unproven
    proves: Callable[[Value, Value], bool] = lambda asked, got: asked == got
    beside: Mapping[str, tuple[Value | None, ...]] = field(default_factory=dict)
    pool: str = ""
    workloads: tuple[str, ...] = ()
    others: str = ""
    others_help: str = ""
    moot: Callable[[], str] = str
    promising: Value | None = None
    one_shape: bool = False

    @property
    def owner(self) -> str:
        """The backend or workload that declares the knob; empty for all other knobs."""
        return self.name.rpartition(".")[0]

    @property
    def of(self) -> Literal["engine", "inputs", "machine", "question"]:
        """Whose setting it is. Sizes of the model and the knobs of a workload belong to the
        question: they say what is measured, so no search changes them."""
        if self.workloads or self.owner == "model":
            return "question"
        if self.owner:
            return "engine"
        return "inputs" if self.phase == "load" else "machine"

    def allows(self, value: Value) -> bool:
        if isinstance(self.values, Span | Text):
            return value in self.values
        if self.others and isinstance(value, str) and re.fullmatch(self.others, value):
            return True
        return any(value == v and type(value) is type(v) for v in self.values)

    def values_here(self) -> tuple[Value, ...]:
        """The values that can be used on this machine; none of a Span or a Text."""
        if isinstance(self.values, Span | Text) or not self.available().ok:
            return ()
        check = self.available_value
        return tuple(v for v in self.values if check is None or check(v).ok)

    @property
    def choices(self) -> str:
        if isinstance(self.values, Span | Text):
            return str(self.values)
        words = [*map(as_typed, self.values), *([self.others_help] if self.others_help else [])]
        return ", ".join(words)


def unknown_value(knob: Knob, value: object) -> UsageError:
    """The error for a value that the knob does not allow, with the nearest ones."""
    words = () if isinstance(knob.values, Span | Text) else tuple(map(str, knob.values))
    return UsageError(
        f"{knob.name}={value} is not known", nearest(str(value), words, knob.choices)
    )
