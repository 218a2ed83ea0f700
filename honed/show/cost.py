"""What a million sequences cost, from the user's prices and a record's throughput.

A price is for a whole machine, and so is the cost: of this machine while it runs only this, back
to back. Nothing is scaled to the share of the cores that a Case uses: what replicas would do to
each other on shared caches and memory is not known until `instances=N` measures it. Cores that
idle are paid for, and said to idle. Prices are never stored: a record holds what was measured.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from honed.errors import UsageError
from honed.measures import Limit
from honed.record import Interval, Record
from honed.units import Price, price

ASSUMPTION = "cost of the whole machine while it runs only this, back to back"
_ENTRY_KEYS = {"name", "cpu", "cores", "price"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A machine's price. `cpu` is a pattern of its processor's name (* and ?), `cores` how many
    are effective; None: any."""

    price: Price
    name: str = ""
    cpu: str | None = None
    cores: int | None = None

    def fits(self, machine: Mapping[str, Any]) -> bool:
        if self.cpu is not None and not fnmatch.fnmatch(str(machine.get("cpu")), self.cpu):
            return False
        return self.cores in (None, cores_of(machine))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a million sequences. `cores_used` of `cores` are the Case's; None where not known."""

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
    """`4.848/h` for any machine, or the entries of a YAML file of machines, the first fit first.

    Each is a mapping with `price`, and `name`, `cpu` and `cores` as wanted.
    """
    path = Path(text)
    if path.suffix not in (".yaml", ".yml"):
        return (Entry(price(text)),)
    import yaml

    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read prices from {path}: {error}", _EXAMPLE) from None
    if not isinstance(found, list) or not found:
        raise UsageError(f"{path} is no list of machines", _EXAMPLE)
    return tuple(_entry(path, number, item) for number, item in enumerate(found, 1))


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
    """What a million of its sequences cost; None without a throughput or a price that fits."""
    entry = next((e for e in known if e.fits(record.machine)), None)
    rate = record.metrics.throughput_per_s if record.metrics else None
    if entry is None or rate is None or not rate.value:
        return None
    ends = rate.ci95 and tuple(sorted(_per_million(entry.price, end) for end in rate.ci95 if end))
    value = Interval(
        _per_million(entry.price, rate.value),
        (ends[0], ends[1]) if ends and len(ends) == 2 else None,
    )
    return Cost(value, entry, _cores_used(record), cores_of(record.machine))


def median_cost(records: Sequence[Record], known: Sequence[Entry]) -> Cost | None:
    """Of several processes of one Case; without an interval, which a process's own is not."""
    costs = [found for r in records if (found := cost(r, known)) is not None]
    costs.sort(key=lambda found: found.per_million.value or 0.0)
    if not costs:
        return None
    middle = costs[(len(costs) - 1) // 2], costs[len(costs) // 2]
    value = sum(found.per_million.value or 0.0 for found in middle) / 2
    return replace(middle[0], per_million=Interval(value))


def _per_million(of: Price, per_s: float) -> float:
    return of.per_hour / 3600 / per_s * 1e6


def cores_of(machine: Mapping[str, Any]) -> int | None:
    """How many CPUs of the machine were effective when the record was made."""
    found = machine.get("limits", {}).get("effective_cpus", machine.get("effective_cpus"))
    return found if isinstance(found, int) else None


def _cores_used(record: Record) -> int | None:
    """The cores its instances computed on: no more than their threads, or than they may use."""
    cpus = {cpu for e in record.effective for cpu in e.get("cpus", ())}
    found = [e.get("threads") for e in record.effective]
    threads = [t for t in found if isinstance(t, int)]
    if not cpus or len(threads) < len(found):
        return len(cpus) or None
    return min(len(cpus), sum(threads))


@dataclass(frozen=True, slots=True)
class Choice:
    """The cheapest record that meets the limits; `rivals` are those it may not be cheaper than:
    their intervals touch. Without one, `nearest` came closest to the limit it fails."""

    limits: tuple[Limit, ...]
    best: Record | None
    cost: Cost | None
    rivals: tuple[Record, ...] = ()
    nearest: Record | None = None


def cheapest(
    records: Sequence[Record], known: Sequence[Entry], limits: Sequence[Limit] = ()
) -> Choice:
    """Among records that are `ok`: what diverged, or is not proven, is no bargain.

    Only costs in one currency compare: the first record's.
    """
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
