"""Costs in a table of records and in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from honed.measures import Limit
from honed.record import Record
from honed.show.columns import Column, Ends, settings_column
from honed.show.cost import ASSUMPTION, Choice, Cost, Entry, cheapest, cost
from honed.show.numbers import NONE, measured, plain


def cost_column(known: Sequence[Entry]) -> Column:
    """Cost per million sequences, with its interval."""

    def read(record: Record) -> str:
        found = cost(record, known)
        return NONE if found is None else amount(found)

    def ends(record: Record) -> Ends | None:
        found = cost(record, known)
        return None if found is None else found.per_million.ci95

    return Column("cost", "cost per\nmillion", 4, read, ends)


def amount(found: Cost) -> str:
    """$1.23 ±0.02: of a million sequences."""
    return found.price.written(measured(found.per_million.value, found.per_million.ci95))


def cost_notes(
    records: Sequence[Record], known: Sequence[Entry], limits: Sequence[Limit] = ()
) -> list[str]:
    """What the costs assume, which record is the cheapest, what it leaves unused, what is priced
    not at all."""
    costs = [found for r in records if (found := cost(r, known)) is not None]
    machines = dict.fromkeys(
        f"{c.entry.name}: {c.price}" if c.entry.name else str(c.price) for c in costs
    )
    notes = [f"{ASSUMPTION} ({'; '.join(machines)})"] if machines else []
    unpriced = sum(r.metrics is not None and cost(r, known) is None for r in records)
    if unpriced:
        notes.append(f"no price fits the machine of {_records(unpriced)}")
    return notes + _choice(cheapest(records, known, limits), records)


def _choice(found: Choice, records: Sequence[Record]) -> list[str]:
    wanted = f" that meets {' and '.join(map(str, found.limits))}" if found.limits else ""
    notes = []
    if found.best is None or found.cost is None:
        if wanted:
            notes.append(f"no ok record with a cost is known to be one{wanted}{_nearest(found)}")
    else:
        doubt = ""
        if found.rivals:
            doubt = f"; not surely cheaper than {', '.join(r.id[:8] for r in found.rivals)}"
        settings = settings_column(records).read(found.best)
        notes.append(
            f"cheapest{wanted}: {found.best.id[:8]} ({settings}) at {amount(found.cost)} per "
            f"million sequences{doubt}"
        )
        if idle := found.cost.idle_cores:
            notes.append(
                f"it leaves {idle} of {found.cost.cores} cores idle, which are paid for: more "
                "threads or instances may cost less"
            )
    unknown = [
        limit for limit in found.limits if any(r.ok and limit.value(r) is None for r in records)
    ]
    if unknown:
        names = ", ".join(dict.fromkeys(limit.name for limit in unknown))
        notes.append(f"some records have too few calls for {names}: raise min_samples")
    return notes


def _nearest(found: Choice) -> str:
    if found.nearest is None:
        return ""
    failed = [limit for limit in found.limits if not limit.met(found.nearest)]
    has = ", ".join(f"{limit.name} {plain(limit.value(found.nearest), 4)}" for limit in failed)
    return f"; nearest: {found.nearest.id[:8]} with {has}"


def _records(count: int) -> str:
    return f"{count} record{'s' if count != 1 else ''}"
