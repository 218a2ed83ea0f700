"""What a study found: the recommendation, what it is worth, and what it rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from honed.knob import Value
from honed.record import Interval, Record
from honed.tune.trial import Point, point

Ended = Literal["budget", "trials", "exhausted", "interrupted"]


@dataclass(frozen=True, slots=True)
class Earned:
    """One knob of the winner: how many times better the winner is than without it.

    `kept` false: the gain was inside the noise or under a hundredth, and the recommendation goes
    without it. `why` tells when it could not be measured (then it is kept), or too little.
    """

    key: str
    value: Value
    gain: Interval
    kept: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Where nothing keeps all limits: the setting that misses the least, and by what."""

    point: Point
    limit: str
    missed_by: float  # as a share of the limit
    record: str | None


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """One setting of the Pareto front, its objectives in their own units."""

    point: Point
    values: tuple[float, ...]
    record: str | None


@dataclass(frozen=True, slots=True)
class Pooled:
    """One side of the last, interleaved measurement: medians over its processes; percentiles
    over the calls of all of them."""

    value: float | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    memory_mib: float | None
    cosine_min: float | None
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a study. `gain` is best over default, so that over 1 is better."""

    study: str
    ended: Ended
    objectives: tuple[str, ...] = ()
    elapsed_s: float = 0.0
    trials: int = 0
    failed: int = 0
    default: Record | None = None
    best: Record | None = None
    point: Point | None = None
    gain: Interval = field(default_factory=lambda: Interval(None))
    default_pooled: Pooled | None = None
    best_pooled: Pooled | None = None
    earned: tuple[Earned, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    front: tuple[FrontPoint, ...] = ()
    nearest: Nearest | None = None
    note: str = ""

    @classmethod
    def blank(cls, study: str, ended: Ended, nearest: Nearest | None = None) -> Outcome:
        """Nothing to recommend (yet)."""
        return cls(study, ended, nearest=nearest)

    def to_json(self) -> dict[str, Any]:
        """The last object of `honed tune --json`."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("default", "best"):
            record: Record | None = plain[name]
            plain[name] = record.to_json() if record else None
        for name in ("gain", "default_pooled", "best_pooled"):
            plain[name] = plain[name] and dataclasses.asdict(plain[name])
        plain["point"] = None if self.point is None else dict(self.point)
        plain["earned"] = [dataclasses.asdict(e) for e in self.earned]
        plain["front"] = [_with_point(p) for p in self.front]
        plain["nearest"] = self.nearest and _with_point(self.nearest)
        plain["importances"] = dict(self.importances)
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        plain = {f.name: data[f.name] for f in dataclasses.fields(cls) if f.name in data}
        for name in ("default", "best"):
            plain[name] = plain[name] and Record.from_json(plain[name])
        plain["objectives"] = tuple(plain["objectives"])
        plain["gain"] = _interval(plain["gain"])
        plain["point"] = None if plain["point"] is None else point(plain["point"])
        for name in ("default_pooled", "best_pooled"):
            if plain.get(name):
                plain[name] = Pooled(**plain[name] | {"records": tuple(plain[name]["records"])})
        plain["earned"] = tuple(
            Earned(**e | {"gain": _interval(e["gain"])}) for e in plain.get("earned", ())
        )
        plain["front"] = tuple(
            FrontPoint(point(p["point"]), tuple(p["values"]), p["record"])
            for p in plain.get("front", ())
        )
        if plain.get("nearest"):
            found = plain["nearest"]
            plain["nearest"] = Nearest(**found | {"point": point(found["point"])})
        return cls(**plain)


def _with_point(of: FrontPoint | Nearest) -> dict[str, Any]:
    fields = {f.name: getattr(of, f.name) for f in dataclasses.fields(of)}
    return fields | {"point": dict(of.point)}


def _interval(data: Mapping[str, Any]) -> Interval:
    limits = data["ci95"]
    return Interval(data["value"], (limits[0], limits[1]) if limits else None)
