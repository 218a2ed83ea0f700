"""What a report is made from: records, perhaps a study, and the words that tell records apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

from honed.case import CORE_FIELDS, CORE_KEYS
from honed.record import Record
from honed.report.study import StudyFacts
from honed.show.rows import SHAPE, SUBJECT
from honed.show.say import machine_name, word

# How hard was measured, not what was: records that differ only here are runs of the same thing.
EFFORT = frozenset({
    "duration_s", "min_samples", "warmup_s", "timeout_s", "memory", "seed", "oversubscribe",
    "allow_system_changes", "trust_remote_code", "inputs_field",
})  # fmt: skip
_BARE = ("model", "backend", "precision", "task", "device", "workload", "machine")
_IN_WORDS: Mapping[str, Callable[[str], str]] = {
    "batch_size": lambda v: f"batch {v}",
    "sequence_length": lambda v: f"{v} tokens",
    "threads": lambda v: f"{v} core{'s' * (v != '1')}",
    "cores": lambda v: f"{v} core{'s' * (v != '1')} in all",
    "instances": lambda v: f"{v} instance{'s' * (v != '1')}",
    "total_batch": lambda v: f"{v} sequences in all",
    "inputs": lambda v: v.rpartition("/")[2],
    "pooling": lambda v: f"{v} pooling",
}
DEFAULTS = {f.name: word(f.default) for f in CORE_FIELDS}
_NO_NAMES = ("model", "checkpoint", "weights", ".")  # of folders that say nothing
_WORST_LAST = ("ok", "unproven", "diverged")
Ends = tuple[float, float]
Key = tuple[tuple[str, str], ...]
Reading = Callable[[Record], "tuple[float, Ends | None] | None"]


@dataclass(frozen=True, slots=True)
class Point:
    """What the records of one setting say together.

    One record: its value and 95 % interval. Several: their median, and the ends that hold all
    of their intervals. `status` is the worst of theirs.
    """

    x: float
    value: float
    ends: Ends | None
    status: str
    records: tuple[Record, ...] = field(repr=False)

    @property
    def low(self) -> float:
        return self.ends[0] if self.ends else self.value

    @property
    def high(self) -> float:
        return self.ends[1] if self.ends else self.value

    @property
    def ok(self) -> bool:
        return self.status == "ok"


@dataclass(frozen=True)
class Evidence:
    """The input of every figure. `study`: the tuning study that the records are from, if any."""

    records: tuple[Record, ...]
    study: StudyFacts | None = None

    @cached_property
    def measured(self) -> tuple[Record, ...]:
        """Those with numbers to draw; diverged and unproven ones too, and marked as such."""
        return tuple(r for r in self.records if r.metrics and r.status in _WORST_LAST)

    @cached_property
    def by_id(self) -> Mapping[str, Record]:
        return {r.id: r for r in self.records}

    @cached_property
    def keys(self) -> Mapping[str, Mapping[str, str]]:
        """By record id: the settings that tell records apart, as words."""
        return {r.id: _keys(r) for r in self.records}

    @cached_property
    def model_names(self) -> Mapping[str, str]:
        """Each model by the end of its path, as short as tells them apart."""
        paths = {own["model"]: own["model"].rstrip("/").split("/") for own in self.keys.values()}
        names = {
            path: "/".join(parts[-2:] if parts[-1] in _NO_NAMES else parts[-1:])
            for path, parts in paths.items()
        }
        for length in range(2, 1 + max((len(parts) for parts in paths.values()), default=0)):
            taken = list(names.values())
            for path in [p for p, name in names.items() if taken.count(name) > 1]:
                names[path] = "/".join(paths[path][-length:])
        return names

    def subjects(self) -> list[tuple[str, list[Record]]]:
        """The measured records, a group for each question; named by what tells them apart."""
        groups: dict[Key, list[Record]] = {}
        for record in self.measured:
            groups.setdefault(self._key(record, SUBJECT), []).append(record)
        heads = self.varying(self.records, SUBJECT)
        return [(self.label(rows[0], heads) if heads else "", rows) for rows in groups.values()]

    def varying(
        self, records: Sequence[Record], among: Sequence[str] = (), without: Iterable[str] = ()
    ) -> list[str]:
        """The keys that differ between `records`, in the Case's order."""
        if not among:
            found = {k for r in records for k in self.keys[r.id]} - {"cores"}  # see threads
            order = {k: i for i, k in enumerate(("machine", *CORE_KEYS))}
            among = sorted(found, key=lambda k: (order.get(k, len(order)), k))
        left = set(without)
        return [
            k for k in among
            if k not in left and len({self.keys[r.id].get(k) for r in records}) > 1
        ]  # fmt: skip

    def label(self, record: Record, keys: Sequence[str]) -> str:
        """What tells the record apart, in words: "torch fp32, 2 cores"."""
        own = self.keys[record.id]
        own = {**own, "model": self.model_names[own["model"]]}
        bare = [own[k] for k in _BARE if k in keys and k in own]
        more = [_in_words(k, own[k]) for k in keys if k not in _BARE and _is_said(k, own)]
        return ", ".join(filter(None, [" ".join(bare), *more])) or "as it comes"

    def groups(
        self, records: Sequence[Record], keys: Sequence[str]
    ) -> list[tuple[str, list[Record]]]:
        """Records that agree in `keys`, by their label, in the order that these come in."""
        groups: dict[Key, list[Record]] = {}
        for record in records:
            groups.setdefault(self._key(record, keys), []).append(record)
        return [(self.label(rows[0], keys), rows) for rows in groups.values()]

    def _key(self, record: Record, keys: Sequence[str]) -> Key:
        own = self.keys[record.id]
        return tuple((k, own.get(k, "")) for k in keys)


def pool(records: Sequence[Record], read: Reading, x: float = 0.0) -> Point | None:
    """One point from all records of a setting; None when none of them has the value."""
    found = [(r, got) for r in records if (got := read(r)) is not None]
    if not found:
        return None
    values = [value for _, (value, _) in found]
    ends = [e for _, (_, e) in found if e is not None]
    reach = (*values, *(low for low, _ in ends), *(high for _, high in ends))
    known = len(found) > 1 or bool(ends)
    return Point(
        x,
        median(values),
        (min(reach), max(reach)) if known else None,
        max((r.status for r, _ in found), key=_WORST_LAST.index),
        tuple(r for r, _ in found),
    )


def latency(record: Record) -> tuple[float, Ends | None] | None:
    """Seconds per call, the median."""
    found = record.metrics
    return None if found is None else (found.latency_s.p50, found.latency_s.ci95)


def throughput(record: Record) -> tuple[float, Ends | None] | None:
    """Sequences per second."""
    found = record.metrics.throughput_per_s if record.metrics else None
    return None if found is None or not found.value else (found.value, found.ci95)


def _keys(record: Record) -> dict[str, str]:
    """Every setting that is set, as words; a part of a total batch follows from the total."""
    case = record.case
    left = EFFORT | ({"batch_size"} if case.get("total_batch") else set())
    found = {k: word(v) for k, v in case.items() if v is not None and k not in left}
    if case.get("threads"):
        found["cores"] = str(case["threads"] * (case.get("instances") or 1))
    return found | {"machine": machine_name(record)}


def _is_said(key: str, own: Mapping[str, str]) -> bool:
    """What is left as it comes needs no words; the work's shape always does."""
    return key in own and (key in SHAPE or own[key] != DEFAULTS.get(key))


def _in_words(key: str, value: str) -> str:
    return _IN_WORDS[key](value) if key in _IN_WORDS else f"{key} {value}"
