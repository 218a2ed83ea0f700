"""What a million sequences cost, from the user's prices and the throughput of a record.

A price is for a whole machine, and so is the cost: the machine runs only this Case, back to back.
The cost is not scaled to the share of the cores that the Case uses, because nobody knows how much
replicas would slow each other down on shared caches and memory until `instances=N` measures it.
Idle cores are paid for, and a note names them. Prices are never stored: a record holds only what
was measured.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from honed.errors import UsageError
from honed.measures import MEASURES, Limit
from honed.record import Interval, Record
from honed.show.say import effective_cpus
from honed.units import Price, price

ASSUMPTION = "cost of the whole machine while it runs only this, back to back"
_ENTRY_KEYS = {"name", "cpu", "cores", "price"}


@dataclass(frozen=True, slots=True)
class Entry:
    """The price of a machine. `cpu`: a pattern (* and ?) for the processor's name; `cores`: how
    many are effective; None: any."""

    price: Price
    name: str = ""
    cpu: str | None = None
    cores: int | None = None

    def fits(self, machine: Mapping[str, Any]) -> bool:
        if self.cpu is not None and not fnmatch.fnmatch(str(machine.get("cpu")), self.cpu):
            return False
        return self.cores in (None, effective_cpus(machine))


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a million sequences; the Case used `cores_used` of `cores` (None: unknown)."""

    per_million: Interval
    entry: Entry
    cores_used: int | None
    cores: int | None

    @property
    def price(self) -> Price:
        return self.entry.price

    @property
    def idle_cores(self) -> int:
        return max(0, (self.cores or 0) - (self.cores_used or 0)) if self.cores_used else 0

    def to_json(self) -> dict[str, Any]:
        return {
            "per_million_sequences": self.per_million.value,
            "ci95": self.per_million.ci95,
            "currency": self.price.currency or None,
            "price_per_hour": self.price.per_hour,
            "machine": self.entry.name or None,
            "cores_used": self.cores_used,
            "cores": self.cores,
            "assumption": ASSUMPTION,
        }


def prices(text: str) -> tuple[Entry, ...]:
    """`4.848/h` for any machine, or the entries of a YAML file; the first entry that fits counts.

    An entry is a mapping with `price`, and optionally `name`, `cpu` and `cores`.
    """
    path = Path(text)
    if path.suffix not in (".yaml", ".yml"):
        return (Entry(price(text)),)
    import yaml

    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read prices from {path}: {error}", _EXAMPLE) from None
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path} is no list of machines", _EXAMPLE)
    return tuple(_entry(path, number, item) for number, item in enumerate(entries, 1))


_EXAMPLE = "a file with lines like: - {name: big, cpu: '*8488C*', cores: 96, price: 4.848/h}"


def _entry(path: Path, number: int, item: Any) -> Entry:
    where = f"machine {number} of {path}"
    if not isinstance(item, dict) or "price" not in item:
        raise UsageError(f"{where} has no price", _EXAMPLE)
    if strange := set(map(str, item)) - _ENTRY_KEYS:
        raise UsageError(f"{where} has an unknown {min(strange)!r}", _EXAMPLE)
    cores, cpu = item.get("cores"), item.get("cpu")
    if cores is not None and (not isinstance(cores, int) or cores < 1):
        raise UsageError(f"{where}: cores={cores} is no number of cores", _EXAMPLE)
    pattern = None if cpu is None else str(cpu)
    return Entry(price(str(item["price"])), str(item.get("name") or ""), pattern, cores)


def cost(record: Record, known: Sequence[Entry]) -> Cost | None:
    """The cost of a million sequences; None without a throughput or a price that fits."""
    entry = next((e for e in known if e.fits(record.machine)), None)
    if entry is None:
        return None
    per_million = MEASURES["cost"].priced(entry.price.per_hour).interval(record)
    if per_million is None:
        return None
    return Cost(per_million, entry, _cores_used(record), effective_cpus(record.machine))


def median_cost(records: Sequence[Record], known: Sequence[Entry]) -> Cost | None:
    """The median over processes of one Case, without an interval: the interval of one process
    says nothing about how much processes differ."""
    costs = [c for r in records if (c := cost(r, known)) is not None]
    if not costs:
        return None
    middle = median(c.per_million.value or 0.0 for c in costs)
    return replace(costs[0], per_million=Interval(middle))


def _cores_used(record: Record) -> int | None:
    """The cores that the instances computed on: as many as their threads, but not more than the
    CPUs that they may use."""
    cpus = {cpu for e in record.effective for cpu in e.get("cpus", ())}
    threads = [t for e in record.effective if isinstance(t := e.get("threads"), int)]
    if not cpus or len(threads) < len(record.effective):
        return len(cpus) or None
    return min(len(cpus), sum(threads))


@dataclass(frozen=True, slots=True)
class Choice:
    """The cheapest record that meets the limits. `rivals` may be as cheap: their intervals touch.
    Where no record meets the limits, `nearest` comes closest."""

    limits: tuple[Limit, ...]
    best: Record | None
    cost: Cost | None
    rivals: tuple[Record, ...] = ()
    nearest: Record | None = None


def cheapest(
    records: Sequence[Record], known: Sequence[Entry], limits: Sequence[Limit] = ()
) -> Choice:
    """The cheapest among the records with status `ok` and the currency of the first of them."""
    priced = [(c, r) for r in records if r.ok and (c := cost(r, known)) is not None]
    priced = [(c, r) for c, r in priced if c.price.currency == priced[0][0].price.currency]
    meeting = [(c, r) for c, r in priced if all(limit.met(r) for limit in limits)]
    if not meeting:
        return Choice(tuple(limits), None, None, nearest=_nearest(limits, [r for _, r in priced]))
    meeting.sort(key=lambda pair: pair[0].per_million.value or 0.0)
    (least, best), others = meeting[0], meeting[1:]
    rivals = tuple(r for c, r in others if _touch(least.per_million, c.per_million))
    return Choice(tuple(limits), best, least, rivals)


def _touch(least: Interval, other: Interval) -> bool:
    high = least.ci95[1] if least.ci95 else least.value
    low = other.ci95[0] if other.ci95 else other.value
    return high is not None and low is not None and low <= high


def _nearest(limits: Sequence[Limit], records: Sequence[Record]) -> Record | None:
    """The record whose worst ratio to a failed bound is least."""

    def excess(record: Record) -> float:
        worst = 0.0
        for limit in limits:
            value = limit.value(record)
            if value is None or limit.met(record):
                continue
            high, low = max(value, limit.bound), min(value, limit.bound)
            worst = max(worst, high / low if low > 0 else high)
        return worst

    known = [r for r in records if all(limit.value(r) is not None for limit in limits)]
    return min(known, key=excess, default=None)
