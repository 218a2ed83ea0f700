"""The search space: branches, dimensions, the Case of each setting, and what cannot run here."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from honed.backends.base import load_backend, traits
from honed.case import Case
from honed.compose import Choice
from honed.errors import HonedError
from honed.knobs import belongs, owner_of
from honed.machine.spawn import machine_knobs
from honed.plan.least import Least
from honed.study import Axis, Setting
from honed.values import as_typed
from honed.workers.seat import seats

ROOT = ("backend", "precision")  # the keys that name a branch
_MIB = 2**20

When = Literal["search", "polish"]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One key with the values that may be tried.

    `ordered`: neighbouring values resemble each other, so a sampler may interpolate. `when` is
    "polish" for knobs of the machine: they are tried last, one after the other.
    """

    key: str
    values: tuple[Choice, ...]
    ordered: bool
    when: When

    @property
    def start(self) -> Choice:
        """The value of a setting that leaves the key out: untouched, where this is allowed."""
        bare = Case(model="any").get(self.key) if self.key in ("instances", "batch_size") else None
        return bare if bare in self.values else self.values[0]


@dataclass(frozen=True, slots=True)
class Branch:
    """An engine with a precision.

    `promise`: how many times as fast as fp32 the instructions of this processor are.
    `unlikely`: the engine ranks itself as unlikely to win, and is tried last.
    """

    backend: str
    precision: str
    promise: float
    unlikely: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.backend, self.precision

    @property
    def setting(self) -> Setting:
        return Setting({"backend": self.backend, "precision": self.precision})

    def __to_plain__(self) -> list[Any]:
        return list(dataclasses.astuple(self))

    @classmethod
    def __from_plain__(cls, data: Sequence[Any]) -> Branch:
        return cls(*data)


@dataclass(frozen=True, slots=True)
class Pruned:
    """A key or branch that is not searched, and the reason."""

    what: str
    why: str

    def __to_plain__(self) -> list[str]:
        return [self.what, self.why]

    @classmethod
    def __from_plain__(cls, data: Sequence[str]) -> Pruned:
        return cls(*data)


def case_with(base: Case, values: Mapping[str, Choice]) -> Case:
    """`base` with other values; knobs of an engine that it then no longer has are dropped."""
    backend = str(values.get("backend") or base.backend)
    kept = {k: v for k, v in base.to_json().items() if belongs(k, backend, base.workload)}
    if base.total_batch is not None:
        kept["batch_size"] = 1  # it follows from total_batch and instances
    return Case.from_json({**kept, **values})


@dataclass(frozen=True, slots=True)
class Space:
    base: Case
    branches: tuple[Branch, ...]
    dimensions: tuple[Dimension, ...]
    pruned: tuple[Pruned, ...] = ()
    memory_bytes: int | None = None  # of this machine or container, or the user's limit
    weights_bytes: int | None = None  # in fp32, as `plan.least` counts them; None: unknown
    sequence_elements: int = 0  # of one sequence, as `plan.least` counts them; 0: unknown

    @property
    def default(self) -> Setting:
        """Everything untouched, or as the user fixed it."""
        keys = {*ROOT, *(d.key for d in self.dimensions)}
        return self.normal({k: self.base.get(k) for k in keys})

    def of(self, backend: str, when: When) -> tuple[Dimension, ...]:
        """The dimensions that apply to an engine."""
        return tuple(d for d in self.dimensions if belongs(d.key, backend, "") and d.when == when)

    def axes(self) -> dict[str, Axis]:
        """Every searched key with its values, branches included: for importances and reports."""
        roots = {
            "backend": tuple(dict.fromkeys(b.backend for b in self.branches)),
            "precision": tuple(dict.fromkeys(b.precision for b in self.branches)),
        }
        return {
            **{key: Axis(key, values) for key, values in roots.items()},
            **{d.key: Axis(d.key, d.values, d.start, owner_of(d.key)) for d in self.dimensions},
        }

    def within(self, values: Mapping[str, Choice]) -> Setting | None:
        """Another study's setting as one of this space; None if it has a key or value that is not
        searched here."""
        if (values.get("backend"), values.get("precision")) not in {b.key for b in self.branches}:
            return None
        searched = {d.key: d.values for d in self.dimensions}
        for key, value in values.items():
            if key not in ROOT and value not in searched.get(key, (self.base.get(key),)):
                return None
        return self.normal(values)

    def normal(self, values: Mapping[str, Choice]) -> Setting:
        """The one spelling of a setting: values that a key has anyway are left out, and so are the
        knobs of other engines."""
        backend = str(values["backend"])
        starts = {d.key: d.start for d in self.dimensions}
        return Setting({
            k: v for k, v in values.items() if v != starts.get(k) and belongs(k, backend, "")
        })  # fmt: skip

    def case(self, setting: Mapping[str, Choice]) -> Case:
        backend = str(setting["backend"])
        starts = {
            d.key: d.start for d in self.dimensions if belongs(d.key, backend, self.base.workload)
        }
        return case_with(self.base, {**starts, **setting})

    def refusal(self, setting: Mapping[str, Choice]) -> str | None:
        """Why a setting cannot run here, known before it costs anything; None if it may run."""
        try:
            case = self.case(setting)
            load_backend(case.backend).check(case)
            seats(case)
        except HonedError as error:
            return error.message
        if (without_effect := _without_effect(case, setting)) is not None:
            return without_effect
        return self.too_large(case)

    def too_large(self, case: Case) -> str | None:
        """Why the Case cannot fit, by plan's formulas; None if it may. An engine that keeps to a
        memory budget need not hold the weights."""
        if self.memory_bytes is None or traits(case.backend).keeps_budget:
            return None
        least = Least(self.weights_bytes or 0, self.sequence_elements)
        shape = case.batch_size, case.instances
        needed, weights = least.bytes_of(case.precision, *shape), least.bytes_of(case.precision, 0)
        if needed <= self.memory_bytes:
            return None
        of = "the weights" if weights > self.memory_bytes else "weights and activations"
        return f"{of} alone need {needed // _MIB} of {self.memory_bytes // _MIB} MiB"

    def settings(self, branch: Branch) -> Iterator[Setting]:
        """Every setting of a branch that may run, in a fixed order: for brute force."""
        dimensions = self.of(branch.backend, "search") + self.of(branch.backend, "polish")
        for values in itertools.product(*(d.values for d in dimensions)):
            picked = {d.key: v for d, v in zip(dimensions, values, strict=True)}
            setting = self.normal({**branch.setting, **picked})
            if self.refusal(setting) is None:
                yield setting


def _without_effect(case: Case, setting: Mapping[str, Choice]) -> str | None:
    """The first of the setting's knobs that its engine or its other knobs leave without effect."""
    for knob in (k for k in machine_knobs().values() if setting.get(k.name) is not None):
        if knob.pool and knob.pool != traits(case.backend).thread_pool:
            return f"{case.backend} has a thread pool of its own: {knob.name} is not for it"
        for other, values in knob.beside.items():
            if case.get(other) not in values:
                wanted = " or ".join(f"{other}={as_typed(v)}" for v in values if v is not None)
                return f"{knob.name} means something only beside {wanted}"
    return None
