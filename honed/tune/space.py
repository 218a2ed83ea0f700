"""The search space: branches and dimensions, points and their Cases, and what cannot run here."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from honed.backends.base import load_backend, traits
from honed.case import CORE_KEYS, Case
from honed.compose import Choice
from honed.errors import HonedError
from honed.machine.spawn import machine_knobs
from honed.tune.trial import Point, point
from honed.workers.seat import seats

_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0, "int4": 0.5}

When = Literal["search", "polish"]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One key with the values that may be tried; None is untouched.

    `ordered`: neighbours resemble each other, so that a sampler may interpolate. `polish`: of the
    machine, not of an engine; tried last, one after the other.
    """

    key: str
    values: tuple[Choice, ...]
    ordered: bool
    when: When

    @property
    def owner(self) -> str:
        return self.key.rpartition(".")[0]

    @property
    def start(self) -> Choice:
        """What a point that leaves the key out stands for: untouched, if that is allowed."""
        bare = untouched(self.key)
        return bare if bare in self.values else self.values[0]


@dataclass(frozen=True, slots=True)
class Branch:
    """An engine with a precision. `promise`: how many times fp32 the instructions here do.
    `unlikely`: by its engine's own word nothing to begin with."""

    backend: str
    precision: str
    promise: float
    unlikely: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.backend, self.precision

    @property
    def point(self) -> Point:
        return point({"backend": self.backend, "precision": self.precision})


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is not searched, and why not."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Space:
    base: Case
    branches: tuple[Branch, ...]
    dimensions: tuple[Dimension, ...]
    pruned: tuple[Pruned, ...] = ()
    memory_bytes: int | None = None  # what there is; None: not known
    weights_bytes: int | None = None  # of the model in fp32; None: not known

    @property
    def default(self) -> Point:
        """Where everything is as it comes, or as the user fixed it."""
        return self.point_of(self.base)

    def of(self, backend: str, when: When) -> tuple[Dimension, ...]:
        """The dimensions that mean something to an engine."""
        return tuple(d for d in self.dimensions if d.owner in ("", backend) and d.when == when)

    def point_of(self, case: Case) -> Point:
        """The searched keys of a Case."""
        keys = {"backend", "precision", *(d.key for d in self.dimensions)}
        return self.normal({k: case.get(k) for k in keys})

    def within(self, at: Point) -> Point | None:
        """Another study's point as one of this space; None if something of it is not searched."""
        branches = {b.key for b in self.branches}
        if (at.get("backend"), at.get("precision")) not in branches:
            return None
        known = {d.key: d.values for d in self.dimensions}
        rest = {k: v for k, v in at.items() if k not in ("backend", "precision")}
        if any(v not in known.get(k, (self.base.get(k),)) for k, v in rest.items()):
            return None
        return self.normal(at)

    def normal(self, at: Point) -> Point:
        """The one spelling of a point: what is as it comes is left out, and so are the knobs of
        other engines."""
        owners = {"", str(at["backend"])}
        starts = {d.key: d.start for d in self.dimensions}
        return point({k: v for k, v in at.items() if v != starts.get(k) and mine(k, owners)})

    def case(self, at: Point) -> Case:
        """The Case of a point; knobs of engines that it does not use fall away."""
        owners = {"", str(at["backend"]), self.base.workload}
        searched = {d.key: d.start for d in self.dimensions if d.owner in owners}
        kept = {k: v for k, v in self.base.to_json().items() if k in CORE_KEYS or mine(k, owners)}
        if self.base.total_batch is not None:
            kept["batch_size"] = 1  # it follows from the other two
        return Case.from_json(kept | searched | dict(at))

    def refusal(self, at: Point) -> str | None:
        """Why a point cannot run here, known before it costs anything; None if nothing is."""
        try:
            case = self.case(at)
            load_backend(case.backend).check(case)
            seats(case)
        except HonedError as error:
            return error.message
        if (idle := _idle(case, at)) is not None:
            return idle
        needed = self.least_bytes(at)
        if needed is not None and self.memory_bytes is not None and needed > self.memory_bytes:
            mib = 2**20
            return f"weights alone need {needed // mib} of {self.memory_bytes // mib} MiB"
        return None

    def least_bytes(self, at: Point) -> int | None:
        """The weights of all instances: no setting takes less."""
        if self.weights_bytes is None:
            return None
        share = _BYTES[str(at["precision"])] / _BYTES["fp32"]
        return int(self.weights_bytes * share) * int(at.get("instances") or self.base.instances)

    def points(self, branch: Branch) -> Iterator[Point]:
        """Every point of a branch that may run, in a fixed order: for brute force."""
        own = self.of(branch.backend, "search") + self.of(branch.backend, "polish")
        for picked in itertools.product(*(d.values for d in own)):
            picks = {d.key: v for d, v in zip(own, picked, strict=True)}
            at = self.normal({**branch.point, **picks})
            if self.refusal(at) is None:
                yield at

    def to_json(self) -> dict[str, Any]:
        """What a resumed study needs to ask the same questions."""
        return {
            "branches": [dataclasses.astuple(b) for b in self.branches],
            "dimensions": [
                {"key": d.key, "values": list(d.values), "ordered": d.ordered, "when": d.when}
                for d in self.dimensions
            ],
            "pruned": [[p.what, p.why] for p in self.pruned],
            "memory_bytes": self.memory_bytes,
            "weights_bytes": self.weights_bytes,
        }

    @classmethod
    def from_json(cls, base: Case, data: Mapping[str, Any]) -> Space:
        return cls(
            base,
            tuple(Branch(*b) for b in data["branches"]),
            tuple(
                Dimension(d["key"], tuple(d["values"]), d["ordered"], d["when"])
                for d in data["dimensions"]
            ),
            tuple(Pruned(*p) for p in data["pruned"]),
            data["memory_bytes"],
            data["weights_bytes"],
        )


def _idle(case: Case, at: Point) -> str | None:
    """Which of the point's knobs means nothing to its engine, or beside the others."""
    for knob in (k for k in machine_knobs().values() if at.get(k.name) is not None):
        if knob.pool and knob.pool != traits(case.backend).thread_pool:
            return f"{case.backend} has a thread pool of its own: {knob.name} is not for it"
        for other, values in knob.beside.items():
            if case.get(other) not in values:
                wanted = " or ".join(f"{other}={v}" for v in values if v is not None)
                return f"{knob.name} means something only beside {wanted}"
    return None


def mine(key: str, owners: set[str]) -> bool:
    return key.rpartition(".")[0] in owners


def untouched(key: str) -> Choice:
    """What stands for a key that nobody has set."""
    return Case(model="any").get(key) if key in ("instances", "batch_size") else None


def axes(space: Space, keys: Sequence[str] = ()) -> dict[str, tuple[Choice, ...]]:
    """Every searched key with its values, branches included: for importances and pictures."""
    found: dict[str, tuple[Choice, ...]] = {
        "backend": tuple(dict.fromkeys(b.backend for b in space.branches)),
        "precision": tuple(dict.fromkeys(b.precision for b in space.branches)),
        **{d.key: d.values for d in space.dimensions},
    }
    return {k: v for k, v in found.items() if not keys or k in keys}
