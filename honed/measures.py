"""Every measure once: its name, its unit, which way is better, and how a Record holds it.

Limits, objectives, columns of tables, axes of figures and comparisons derive from MEASURES, so a
new measure is one entry here.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from honed.errors import UsageError, did_you_mean
from honed.record import Interval, Record

Read = Callable[[Record], Interval | None]


@dataclass(frozen=True, slots=True)
class Unit:
    """`shown` is the unit that people read, `factor` of which make one of the record's unit;
    `suffixes` are the endings of a limit's name, each with the factor of its unit."""

    shown: str
    factor: float
    suffixes: Mapping[str, float]


_PER_S = {"_per_s": 1.0}
_MACHINE_HOURS = "hours per million sequences"
UNITS: Mapping[str, Unit] = {
    "s": Unit("ms", 1e3, {"_ms": 1e3, "_s": 1.0}),
    "bytes": Unit("MiB", 2**-20, {"_mib": 2**-20, "_bytes": 1.0}),
    "sequences/s": Unit("sequences/s", 1.0, _PER_S),
    "tokens/s": Unit("tokens/s", 1.0, _PER_S),
    "FLOP/s": Unit("GFLOP/s", 1e-9, _PER_S),
    "share": Unit("%", 100.0, {"": 1.0}),
    "": Unit("", 1.0, {"": 1.0}),
    _MACHINE_HOURS: Unit("per million sequences", 1.0, {}),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One quantity of a Record.

    name: what objectives and comparisons call it.
    unit: a key of UNITS; the unit of `value`.
    read: the value with its 95 % interval; None where the Record does not have it.
    title: what sentences and figures call it.
    stem: its name in limits before the unit, where this is not `name`.
    needs_memory: only a Case with memory=true measures it.
    objective: `honed tune` can optimise it.
    compared_by: the measure that decides between two settings for this objective, because it
        differs from process to process; empty: one process tells the value.
    at_least: the name of a measure that this one is never less than; limits are judged by it
        where there are too few calls for this one.
    header: the heading of its column in tables of records; empty: tables leave it out.
    rank: how soon a narrow terminal drops the column: the highest first, 0 never.
    shown_with: the column is left out unless some record has a value other than 0 of this measure.
    """

    name: str
    unit: str
    better: Literal["less", "more"]
    read: Read
    title: str
    stem: str = ""
    needs_memory: bool = False
    objective: bool = False
    compared_by: str = ""
    at_least: str = ""
    header: str = ""
    rank: int = 40
    shown_with: str = ""

    def interval(self, record: Record) -> Interval | None:
        return self.read(record)

    def value(self, record: Record) -> float | None:
        interval = self.read(record)
        if interval is None or interval.value is None:
            return None
        return float(interval.value)

    def shown(self, record: Record) -> float | None:
        """The value in `shown_unit`."""
        value = self.value(record)
        return None if value is None else value * UNITS[self.unit].factor

    @property
    def shown_unit(self) -> str:
        return UNITS[self.unit].shown

    @property
    def axis(self) -> str:
        """The label of a figure's axis."""
        unit = f", {self.shown_unit}" if self.shown_unit else ""
        return f"{self.title[:1].upper()}{self.title[1:]}{unit}"

    def cost(self, value: float) -> float:
        """The value, or 1 over it where more is better: less is always better."""
        if self.better == "less":
            return value
        return 1 / value if value > 0 else math.inf

    def log_time(self, value: float) -> float:
        """The logarithm of `cost`, whose differences are the logs of speed ratios."""
        return math.log(value) if self.better == "less" else -math.log(value)

    def priced(self, price_per_h: float | None) -> Measure:
        """The measure in the price's currency where machine hours are counted, else unchanged;
        without a price no Record has the value."""
        if self.unit != _MACHINE_HOURS:
            return self

        def read(record: Record) -> Interval | None:
            hours = self.read(record)
            if hours is None or hours.value is None or price_per_h is None:
                return None
            ends = hours.ci95 and (hours.ci95[0] * price_per_h, hours.ci95[1] * price_per_h)
            return Interval(hours.value * price_per_h, ends)

        return dataclasses.replace(self, read=read)

    def limit_names(self) -> dict[str, float]:
        """The names that a limit can give it, with the factor from `unit` to the name's unit."""
        stem = self.stem or self.name
        return {f"{stem}{suffix}": x for suffix, x in UNITS[self.unit].suffixes.items()}


def _field(part: str, field: str, ci95: str = "") -> Read:
    """Reads a number from a part of the Record: `metrics`, or `metrics.latency_s`."""

    def read(record: Record) -> Interval | None:
        holder: object = record
        for name in part.split("."):
            holder = getattr(holder, name) if holder is not None else None
        value = getattr(holder, field) if holder is not None else None
        return None if value is None else Interval(value, getattr(holder, ci95) if ci95 else None)

    return read


def _throughput(record: Record) -> Interval | None:
    return record.metrics.throughput_per_s if record.metrics else None


def _hours_per_million(record: Record) -> Interval | None:
    """Hours of the whole machine for a million sequences."""
    rate = _throughput(record)
    if rate is None or not rate.value:
        return None
    hours, ends = 1e6 / 3600, rate.ci95
    limits = (hours / ends[1], hours / ends[0]) if ends and all(ends) else None
    return Interval(hours / rate.value, limits)


def _share_of_bound(record: Record) -> Interval | None:
    metrics = record.metrics
    if metrics is None or not metrics.flops_per_s or not metrics.bound_flops_per_s:
        return None
    return Interval(metrics.flops_per_s / metrics.bound_flops_per_s)


def _neighbour_cosine_min(record: Record) -> Interval | None:
    """1 for a text that is a batch of its own: it has no neighbours to depend on."""
    if record.fidelity is None:
        return None
    if record.case.get("batch_size", 1) == 1:
        return Interval(1.0)
    return Interval(record.fidelity.neighbour_cosine_min)


def _all_memory(record: Record) -> Interval | None:
    """The memory of all instances with shared pages counted once, or the largest instance's peak
    if this is more."""
    memory = record.memory
    if memory is None or memory.rss_peak_bytes is None:
        return None
    return Interval(max(memory.rss_peak_bytes, memory.pss_total_bytes or 0))


def _max_batch(record: Record) -> Interval | None:
    """What a search for the largest batch found; no other Record has it."""
    found = (record.passes or {}).get("max_batch")
    return None if found is None else Interval(found["batch_size"])


def _phase(name: str) -> Read:
    """The median of a phase of the calls."""

    def read(record: Record) -> Interval | None:
        phases = (record.metrics.phases if record.metrics else None) or {}
        return Interval(phases[name].p50, phases[name].ci95) if name in phases else None

    return read


def _after_forward(record: Record) -> Interval | None:
    after = (record.memory.after_phase_bytes if record.memory else None) or {}
    return Interval(after["forward"]) if "forward" in after else None


def _latency(field: str, title: str, ci95: str = "", **more: Any) -> Measure:
    read = _field("metrics.latency_s", field, ci95)
    return Measure(f"latency_{field}", "s", "less", read, f"latency, {title}", **more)


def _memory(name: str, title: str, **more: Any) -> Measure:
    read = _field("memory", f"{name}_bytes")
    return Measure(name, "bytes", "less", read, title, needs_memory=True, **more)


_LIST = (
    Measure(
        "latency", "s", "less", _field("metrics.latency_s", "p50", "ci95"), "latency",
        stem="latency_p50", objective=True, compared_by="latency",
        header="p50 ms\n(95 %)", rank=0,
    ),
    _latency("mean", "mean"),
    _latency("stdev", "standard deviation"),
    _latency("min", "least"),
    _latency("p90", "90th percentile", "p90_ci95", at_least="latency", header="p90\nms", rank=50),
    _latency("p95", "95th percentile", at_least="latency_p90"),
    Measure("latency_tail", "s", "less", _field("metrics", "latency_tail_s"),
            "latency, longest inputs", at_least="latency_p95"),
    _latency("p99", "99th percentile", "p99_ci95", at_least="latency_tail",
             header="p99\nms", rank=30),
    _latency("max", "largest"),
    Measure("forward", "s", "less", _phase("forward"), "forward pass",
            header="forward ms\n(95 %)", rank=7, shown_with="forward"),
    Measure("backward", "s", "less", _phase("backward"), "backward pass",
            header="backward ms\n(95 %)", rank=7, shown_with="backward"),
    Measure("optimizer", "s", "less", _phase("optimizer"), "optimizer",
            header="optimizer ms\n(95 %)", rank=7, shown_with="optimizer"),
    Measure(
        "throughput", "sequences/s", "more", _throughput, "throughput",
        objective=True, compared_by="throughput", header="seq/s\n(95 %)", rank=5,
    ),
    Measure(
        "goodput", "sequences/s", "more", _field("metrics", "goodput_per_s"),
        "answers in time", objective=True, compared_by="goodput", header="good/s", rank=5,
        shown_with="goodput",
    ),
    Measure(
        "useful_tokens", "tokens/s", "more", _field("metrics", "useful_tokens_per_s"),
        "tokens without padding", header="useful\ntok/s", rank=6, shown_with="padding_share",
    ),
    Measure(
        "padding_share", "share", "less", _field("inputs", "padding_share"),
        "padding", header="pad-\nding", rank=52, shown_with="padding_share",
    ),
    Measure("tokens", "tokens/s", "more", _field("metrics", "tokens_per_s"), "tokens",
            header="tok/s", rank=70),
    Measure("flops", "FLOP/s", "more", _field("metrics", "flops_per_s"), "arithmetic",
            header="GFLOP/s", rank=60),
    Measure("bound_share", "share", "more", _share_of_bound,
            "arithmetic, of the cores' measured best", header="of\nbound", rank=61),
    Measure("load", "s", "less", _field("metrics", "load_s"), "loading"),
    Measure("first_call", "s", "less", _field("metrics", "first_call_s"), "first call"),
    Measure("max_batch", "", "more", _max_batch, "largest batch that fits", needs_memory=True,
            header="largest\nbatch", rank=2, shown_with="max_batch"),
    Measure("memory", "bytes", "less", _all_memory, "memory", needs_memory=True, objective=True),
    _memory("rss_peak", "memory of the largest process at its peak",
            header="peak\nMiB", rank=10),
    Measure("after_forward", "bytes", "less", _after_forward,
            "tensors before the backward pass", needs_memory=True,
            header="before\nbackward\nMiB", rank=11, shown_with="backward"),
    _memory("weights", "weights"),
    _memory("baseline", "memory before the model is loaded"),
    _memory("tensor_peak", "tensors at their peak"),
    _memory("rss_anon_peak", "anonymous memory at its peak"),
    _memory("rss_file_peak", "file-backed memory at its peak"),
    _memory("pss_total", "memory of all processes"),
    _memory("load_peak", "memory at its peak while loading"),
    _memory("load_anon_peak", "anonymous memory at its peak while loading"),
    _memory("allocated_peak", "device memory allocated at its peak"),
    _memory("reserved_peak", "device memory reserved at its peak"),
    Measure("cosine_min", "", "more", _field("fidelity", "cosine_min"), "least cosine to fp32",
            header="cosine", rank=20),
    Measure("neighbour_cosine_min", "", "more", _neighbour_cosine_min,
            "least cosine of a text's outputs in two batches"),
    Measure("max_abs_diff", "", "less", _field("fidelity", "max_abs_diff"),
            "largest difference to fp32"),
    Measure("relative_diff", "", "less", _field("fidelity", "relative_diff"),
            "largest relative difference to fp32"),
    Measure("top1_agreement", "share", "more", _field("fidelity", "top1_agreement"),
            "same first choice as fp32"),
    Measure("accuracy", "", "more", lambda r: Interval(r.accuracy.value) if r.accuracy else None,
            "accuracy", header="accuracy\n(to fp32)", rank=8, shown_with="accuracy"),
    Measure("cost", _MACHINE_HOURS, "less", _hours_per_million, "cost", objective=True,
            compared_by="throughput"),
)  # fmt: skip

MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _LIST}
OBJECTIVES = tuple(m.name for m in _LIST if m.objective)
# What processes are compared by: one number of each process.
COMPARED = tuple(m.name for m in _LIST if m.compared_by == m.name)

# By the names of limits: the measure, and the factor from its unit to that of the name.
LIMITS: Mapping[str, tuple[Measure, float]] = {
    name: (measure, factor) for measure in _LIST for name, factor in measure.limit_names().items()
}
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_LIMIT = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """`latency_p99_ms<=50`: a bound for one of LIMITS."""

    name: str
    sign: str
    bound: float

    @property
    def measure(self) -> Measure:
        return LIMITS[self.name][0]

    def value(self, record: Record) -> float | None:
        """The measure in the unit of the limit's name; None where the Record lacks it."""
        return self._scaled(self.measure.value(record))

    def met(self, record: Record) -> bool:
        """Whether the Record certainly meets it: an unknown value meets no limit."""
        value = self.value(record)
        return value is not None and _SIGNS[self.sign](value, self.bound)

    def violation(self, record: Record) -> float | None:
        """By which share the limit is missed; zero or less: met; None: unknown.

        Where a short trial has too few calls for a percentile, the largest percentile that it
        supports is judged instead. This one is never more than the percentile that the limit
        names, so only a setting that cannot meet the limit is refused.
        """
        measure = self.measure
        while (value := measure.value(record)) is None and measure.at_least:
            measure = MEASURES[measure.at_least]
        scaled = self._scaled(value)
        return None if scaled is None else self.missed_by(scaled)

    def missed_by(self, value: float) -> float:
        """The share of the bound by which `value` misses it; zero or less: met."""
        over = value - self.bound if self.sign.startswith("<") else self.bound - value
        return over / (abs(self.bound) or 1.0)

    def _scaled(self, value: float | None) -> float | None:
        return None if value is None else value * LIMITS[self.name][1]

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.bound:g}"


def parse_limit(text: str) -> Limit:
    """`NAME<=NUMBER`; also <, > and >=. The unit is part of the name."""
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no limit", "write it in quotes: 'latency_p99_ms<=50'")
    name, sign, number = match.groups()
    if name not in LIMITS:
        near = did_you_mean(name, LIMITS) or f"known: {', '.join(LIMITS)}"
        raise UsageError(f"nothing measured is called {name!r}", near)
    return Limit(name, sign, float(number))
