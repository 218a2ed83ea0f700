"""The input of every figure: records, perhaps a study, and the words that distinguish records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from honed import sizes
from honed.case import CORE_FIELDS, CORE_KEYS
from honed.measures import MEASURES, UNITS, Measure
from honed.record import Interval, Record
from honed.show.rows import SHAPE, SUBJECT
from honed.show.say import machine_name, word
from honed.statistics.sample import over_processes
from honed.study import StudyFacts

# How long and how carefully a case was measured, and what its outputs were judged on: records that
# differ only here are runs of the same setting. A search judges the accuracy of some trials only.
EFFORT = frozenset({
    "duration_s", "min_samples", "warmup_s", "timeout_s", "memory", "seed", "oversubscribe",
    "allow_system_changes", "trust_remote_code", "inputs_field",
    "eval", "eval_metric", "max_accuracy_drop", "max_neighbour_drift",
})  # fmt: skip
_BARE = ("model", "backend", "precision", "task", "device", "workload", "machine")
_IN_WORDS: Mapping[str, Callable[[str], str]] = {
    "batch_size": lambda v: f"batch {v}",
    "sequence_length": lambda v: f"{v} tokens",
    "threads": lambda v: f"{v} core{'s' * (v != '1')}",
    "cores": lambda v: f"{v} core{'s' * (v != '1')} in all",
    "instances": lambda v: f"{v} instance{'s' * (v != '1')}",
    "sizes": lambda v: f"instances of {v} cores",
    "total_batch": lambda v: f"{v} sequences in all",
    "inputs": lambda v: v.rpartition("/")[2],
    "pooling": lambda v: f"{v} pooling",
}
DEFAULTS = {f.name: word(f.default) for f in CORE_FIELDS}
_NO_NAMES = ("model", "checkpoint", "weights", ".")  # folder names that identify no model
_WORST_LAST = ("ok", "unproven", "diverged")
Ends = tuple[float, float]
Reading = Callable[[Record], Interval | None]


@dataclass(frozen=True, slots=True)
class Point:
    """The value of one setting from all its records, in the unit that figures show.

    One record: its value and 95 % interval. Several records: their geometric mean with the 95 %
    interval of that mean, for which each process counts once. `status` is the worst of them.
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
    """`study`: the tuning study that the records are from, if any."""

    records: tuple[Record, ...]
    study: StudyFacts | None = None

    @cached_property
    def measured(self) -> tuple[Record, ...]:
        """Records with numbers to draw, diverged and unproven ones included."""
        return tuple(r for r in self.records if r.metrics and r.status in _WORST_LAST)

    @cached_property
    def by_id(self) -> Mapping[str, Record]:
        return {r.id: r for r in self.records}

    def stored(self, ids: Iterable[str]) -> tuple[Record, ...]:
        """The records with these ids, without those that are not in the store any more."""
        return tuple(self.by_id[id] for id in ids if id in self.by_id)

    @cached_property
    def keys(self) -> Mapping[str, Mapping[str, str]]:
        """By record id: the settings that distinguish records, as words."""
        return {r.id: _keys(r) for r in self.records}

    @cached_property
    def model_names(self) -> Mapping[str, str]:
        """Each model by the end of its path, as short as the names still differ."""
        models = {keys["model"] for keys in self.keys.values()}
        paths = {model: model.rstrip("/").split("/") for model in sorted(models)}
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
        """The measured records grouped by question, each group named by what distinguishes it."""
        differing = self.varying(self.records, SUBJECT)
        groups = self.groups(self.measured, SUBJECT)
        return [(self.label(rs[0], differing) if differing else "", rs) for _, rs in groups]

    def varying(
        self, records: Sequence[Record], among: Sequence[str] = (), without: Iterable[str] = ()
    ) -> list[str]:
        """The keys that differ between `records`, in the Case's order."""
        if not among:
            known = {k for r in records for k in self.keys[r.id]} - {"cores"}  # see threads
            order = {k: i for i, k in enumerate(("machine", *CORE_KEYS))}
            among = sorted(known, key=lambda k: (order.get(k, len(order)), k))
        excluded = set(without)
        return [
            k for k in among
            if k not in excluded and len({self.keys[r.id].get(k) for r in records}) > 1
        ]  # fmt: skip

    def label(self, record: Record, keys: Sequence[str]) -> str:
        """The record's values of `keys` in words: "torch fp32, 2 cores"."""
        values = dict(self.keys[record.id])
        values["model"] = self.model_names[values["model"]]
        bare = [values[k] for k in _BARE if k in keys and k in values]
        # A default needs no words; the shape of the work always does.
        more = [
            _IN_WORDS[k](values[k]) if k in _IN_WORDS else f"{k} {values[k]}"
            for k in keys
            if k not in _BARE and k in values and (k in SHAPE or values[k] != DEFAULTS.get(k))
        ]
        return ", ".join(filter(None, [" ".join(bare), *more])) or "as it comes"

    def groups(
        self, records: Sequence[Record], keys: Sequence[str]
    ) -> list[tuple[str, list[Record]]]:
        """Records that agree in `keys`, each group with its label, in the order of the records."""
        groups: dict[tuple[str, ...], list[Record]] = {}
        for record in records:
            values = self.keys[record.id]
            groups.setdefault(tuple(values.get(k, "") for k in keys), []).append(record)
        return [(self.label(same[0], keys), same) for same in groups.values()]


def pool(records: Sequence[Record], read: Reading, x: float = 0.0) -> Point | None:
    """One point from all records of a setting; None when none of them has the value."""
    known = [(r, i, i.value) for r in records if (i := read(r)) and i.value is not None]
    if not known:
        return None
    values = [value for _, _, value in known]
    of_all = over_processes(values)
    is_one = len(known) == 1
    return Point(
        x,
        values[0] if is_one or of_all.value is None else of_all.value,
        known[0][1].ci95 if is_one else of_all.ci95,
        max((r.status for r, _, _ in known), key=_WORST_LAST.index),
        tuple(r for r, _, _ in known),
    )


def shown(measure: Measure) -> Reading:
    """Reads a measure in the unit that figures show."""
    factor = UNITS[measure.unit].factor

    def read(record: Record) -> Interval | None:
        interval = measure.interval(record)
        if interval is None or interval.value is None:
            return None
        ends = interval.ci95 and (interval.ci95[0] * factor, interval.ci95[1] * factor)
        return Interval(interval.value * factor, ends)

    return read


def short_unit(measure: Measure) -> str:
    """The unit beside a value, `/s` for sequences: the axis's title says what is counted."""
    return measure.shown_unit.removeprefix("sequences")


latency = shown(MEASURES["latency"])
throughput = shown(MEASURES["throughput"])


def _keys(record: Record) -> dict[str, str]:
    """Every setting that is set, as words; with a total batch, its parts follow from it."""
    case = record.case
    left_out = EFFORT | ({"batch_size"} if case.get("total_batch") else set())
    keys = {k: word(v) for k, v in case.items() if v is not None and k not in left_out}
    if case.get("threads"):
        keys["cores"] = str(case["threads"] * (case.get("instances") or 1))
    elif case.get("sizes"):
        keys["cores"] = str(sum(sizes.parse(case["sizes"])))
    return keys | {"machine": machine_name(record)}
