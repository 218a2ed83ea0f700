"""The columns of a table of records: how a cell reads, and which value is the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from honed.case import CORE_KEYS
from honed.record import Record
from honed.show.numbers import like, measured, mib, overlap, plain
from honed.show.say import cosine, status, word

ALWAYS = ("model", "backend", "precision")
Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Column:
    """`rank` says how soon it goes when the terminal is narrow: the highest first, 0 never.

    `ends` is the value's interval, if it can be told which is the best; `high` is better then.
    """

    name: str
    header: str
    rank: int
    read: Callable[[Record], str]
    ends: Callable[[Record], Ends | None] | None = None
    high: bool = False
    left: bool = False

    def cells(self, records: Sequence[Record]) -> list[Text]:
        """One for each record; the best beyond doubt stands out."""
        best = self._best(records)
        texts = []
        for record in records:
            if self.name == "status":
                texts.append(status(record.status, self.read(record)))
            else:
                texts.append(Text(self.read(record), "bold cyan" if record is best else ""))
        return texts

    def _best(self, records: Sequence[Record]) -> Record | None:
        """The ok record whose interval beats all others without touching one."""
        if self.ends is None:
            return None
        known = [(ends, r) for r in records if r.ok and (ends := self.ends(r)) is not None]
        known.sort(key=lambda pair: sum(pair[0]), reverse=self.high)
        if len(known) < 2 or any(overlap(known[0][0], ends) for ends, _ in known[1:]):
            return None
        return known[0][1]


def key_columns(records: Sequence[Record]) -> list[Column]:
    """Model, backend, precision, and the keys of the Cases that differ between the rows."""
    return [_key_column(key, records) for key in (*ALWAYS, *varying(records))]


def varying(records: Sequence[Record]) -> list[str]:
    """Keys, other than the three that are always there, that differ between the rows."""
    knobs = sorted({key for r in records for key in r.case} - set(CORE_KEYS))
    return [k for k in (*CORE_KEYS, *knobs) if k not in ALWAYS and varies(k, records)]


def varies(key: str, records: Sequence[Record]) -> bool:
    return len({word(r.case.get(key)) for r in records}) > 1


def settings_column(records: Sequence[Record]) -> Column:
    """What tells the rows apart in one cell, as one would type it."""
    heads = [k for k in ALWAYS if varies(k, records)]
    keys = varying(records)

    def read(record: Record) -> str:
        words = [_value(record, k) for k in heads]
        for key in keys:
            value = record.case.get(key)
            if value is not None:
                words.append(f"{key}={word(value)}")
        return " ".join(words) or "defaults"

    return Column("settings", "settings", 0, read, left=True)


def _key_column(key: str, records: Sequence[Record]) -> Column:
    """Headers break at their seams, since names are longer than values."""
    numbers = all(isinstance(r.case.get(key), int | float | None) for r in records)
    header = key.replace("_", "_\n").replace(".", ".\n")
    # A setting that every row shares goes into the heading first.
    rank = 3 if varies(key, records) else 90
    return Column(key, header, rank, lambda r: _value(r, key), left=not numbers)


def _value(record: Record, key: str) -> str:
    """A model by its own name, without its folder or organisation."""
    text = word(record.case.get(key))
    return text.rstrip("/").rpartition("/")[2] if key == "model" else text


def _throughput(record: Record) -> str:
    found = record.metrics and record.metrics.throughput_per_s
    return measured(found.value, found.ci95) if found else measured(None, None)


def _throughput_ends(record: Record) -> Ends | None:
    return record.metrics.throughput_per_s.ci95 if record.metrics else None


def _tokens(record: Record) -> str:
    return plain(record.metrics.tokens_per_s if record.metrics else None)


def _useful(record: Record) -> str:
    return plain(record.metrics.useful_tokens_per_s if record.metrics else None)


def _padding(record: Record) -> str:
    return f"{record.inputs.padding_share:.0%}" if record.inputs else plain(None)


def _latency(name: str) -> Callable[[Record], str]:
    def read(record: Record) -> str:
        if record.metrics is None:
            return measured(None, None)
        found = record.metrics.latency_s
        if name == "p50":
            return measured(found.p50, found.ci95, 1000)
        return like(getattr(found, name), found.p50, found.ci95, 1000)

    return read


def _latency_ends(name: str) -> Callable[[Record], Ends | None]:
    def ends(record: Record) -> Ends | None:
        if record.metrics is None:
            return None
        found: Ends | None = getattr(record.metrics.latency_s, name)
        return found

    return ends


def _arithmetic(record: Record) -> str:
    metrics = record.metrics
    return plain(metrics.flops_per_s / 1e9 if metrics and metrics.flops_per_s else None)


def _share_of_bound(record: Record) -> str:
    metrics = record.metrics
    if metrics is None or not metrics.flops_per_s or not metrics.bound_flops_per_s:
        return plain(None)
    return f"{metrics.flops_per_s / metrics.bound_flops_per_s:.0%}"


def _accuracy(record: Record) -> str:
    found = record.accuracy
    if found is None or found.value is None or found.drop is None:
        return plain(None)
    return f"{found.value:.3f} ({-found.drop:+.1%})"


def accuracy(records: Sequence[Record]) -> tuple[Column, ...]:
    """A column where anything was evaluated, else none."""
    return (ACCURACY,) if any(r.accuracy is not None for r in records) else ()


P50 = Column("p50", "p50 ms\n(95 %)", 0, _latency("p50"), _latency_ends("ci95"))
P90 = Column("p90", "p90\nms", 50, _latency("p90"), _latency_ends("p90_ci95"))
P99 = Column("p99", "p99\nms", 30, _latency("p99"), _latency_ends("p99_ci95"))
THROUGHPUT = Column("sequences/s", "seq/s\n(95 %)", 5, _throughput, _throughput_ends, high=True)
TOKENS = Column("tokens/s", "tok/s", 70, _tokens)
ARITHMETIC = Column("GFLOP/s", "GFLOP/s", 60, _arithmetic)
BOUND = Column("% of the bound", "of\nbound", 61, _share_of_bound)
PEAK = Column(
    "peak memory",
    "peak\nMiB",
    10,
    lambda r: mib(r.memory.rss_peak_bytes if r.memory else None),
)
COSINE = Column(
    "cosine", "cosine", 20, lambda r: cosine(r.fidelity.cosine_min if r.fidelity else None)
)
USEFUL = Column("useful tokens/s", "useful\ntok/s", 6, _useful)
PADDING = Column("padding", "pad-\nding", 52, _padding)
ACCURACY = Column("accuracy", "accuracy\n(to fp32)", 8, _accuracy)
MEASURES = (P50, P90, P99, THROUGHPUT, TOKENS, ARITHMETIC, BOUND, PEAK, COSINE)


def measures(records: Sequence[Record]) -> tuple[Column, ...]:
    """What every table shows; and where there is padding, how much, and the speed without it."""
    padded = any(r.inputs is not None and r.inputs.padding_share > 0 for r in records)
    at = MEASURES.index(TOKENS)
    return (*MEASURES[:at], USEFUL, PADDING, *MEASURES[at:]) if padded else MEASURES
