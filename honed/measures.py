"""Limits on what was measured, as one types them: `latency_p99_ms<=50`."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from honed.errors import UsageError, did_you_mean
from honed.record import Fidelity, Latency, Memory, Record

_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_LIMIT = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*")
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limit:
    """One of NAMES against a number."""

    name: str
    sign: str
    bound: float

    def value(self, record: Record) -> float | None:
        """What the record has of it; None where that could not be measured."""
        return NAMES[self.name](record)

    def met(self, record: Record) -> bool:
        """Whether it surely is: what is not known meets no limit."""
        value = self.value(record)
        return value is not None and _SIGNS[self.sign](value, self.bound)

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.bound:g}"


def limit(text: str) -> Limit:
    """`NAME<=NUMBER`; also <, > and >=. The unit is part of the name."""
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no limit", "write it in quotes: 'latency_p99_ms<=50'")
    name, sign, number = match.groups()
    if name not in NAMES:
        near = did_you_mean(name, NAMES) or f"known: {', '.join(NAMES)}"
        raise UsageError(f"nothing measured is called {name!r}", near)
    return Limit(name, sign, float(number))


Read = Callable[[Record], float | None]


def _latency(field: str, scale: float) -> Read:
    def read(record: Record) -> float | None:
        value = getattr(record.metrics.latency_s, field) if record.metrics else None
        return None if value is None else float(value) * scale

    return read


def _memory(field: str, scale: float) -> Read:
    def read(record: Record) -> float | None:
        value = getattr(record.memory, field) if record.memory else None
        return None if value is None else float(value) / scale

    return read


def _all_memory(record: Record) -> float | None:
    """Every instance's, shared pages once; or the largest one's peak, if that is more."""
    found = record.memory
    if found is None or found.rss_peak_bytes is None:
        return None
    return max(found.rss_peak_bytes, found.pss_total_bytes or 0) / _MIB


def _fidelity(field: str) -> Read:
    def read(record: Record) -> float | None:
        value = getattr(record.fidelity, field) if record.fidelity else None
        return None if value is None else float(value)

    return read


def _numbers(kind: type) -> list[str]:
    """The fields of a record's part that hold one number."""
    return [f.name for f in dataclasses.fields(kind) if "tuple" not in str(f.type)]


def _sizes() -> dict[str, Read]:
    fields = [name.removesuffix("_bytes") for name in _numbers(Memory)]
    units = {"mib": float(_MIB), "bytes": 1.0}
    return {
        f"{f}_{unit}": _memory(f"{f}_bytes", size) for f in fields for unit, size in units.items()
    }


# Named as in the record, the unit last.
NAMES: Mapping[str, Read] = {
    **{
        f"latency_{field}_{unit}": _latency(field, scale)
        for field in _numbers(Latency)
        for unit, scale in (("ms", 1000.0), ("s", 1.0))
    },
    "throughput_per_s": lambda r: r.metrics.throughput_per_s.value if r.metrics else None,
    "tokens_per_s": lambda r: r.metrics.tokens_per_s if r.metrics else None,
    "load_s": lambda r: r.metrics.load_s if r.metrics else None,
    "first_call_s": lambda r: r.metrics.first_call_s if r.metrics else None,
    "memory_mib": _all_memory,
    **_sizes(),
    **{
        field: _fidelity(field)
        for field in _numbers(Fidelity)
        if field not in ("reference", "tolerance")
    },
}
