"""Costs as a column of a table of records, and as sentences."""

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
        priced = cost(record, known)
        return NONE if priced is None else amount(priced)

    def ends(record: Record) -> Ends | None:
        priced = cost(record, known)
        return None if priced is None else priced.per_million.ci95

    return Column("cost", "cost per\nmillion", 4, read, ends)


def amount(of: Cost) -> str:
    """`$1.23 ±0.02` for a million sequences."""
    return of.price.written(measured(of.per_million.value, of.per_million.ci95))


def cost_notes(
    records: Sequence[Record], known: Sequence[Entry], limits: Sequence[Limit] = ()
) -> list[str]:
    """What the costs assume, which records have no price, which is the cheapest record, and how
    many cores it leaves idle."""
    costs = [c for r in records if (c := cost(r, known)) is not None]
    named = [(c.entry.name, str(c.price)) for c in costs]
    machines = dict.fromkeys(": ".join(filter(None, parts)) for parts in named)
    notes = [f"{ASSUMPTION} ({'; '.join(machines)})"] if machines else []
    unpriced = sum(r.metrics is not None and cost(r, known) is None for r in records)
    if unpriced:
        notes.append(f"no price fits the machine of {unpriced} record{'s' * (unpriced != 1)}")
    return notes + _choice(cheapest(records, known, limits), records)


def _choice(choice: Choice, records: Sequence[Record]) -> list[str]:
    wanted = f" that meets {' and '.join(map(str, choice.limits))}" if choice.limits else ""
    notes = []
    if choice.best is None or choice.cost is None:
        if wanted:
            notes.append(f"no ok record with a cost is known to be one{wanted}{_nearest(choice)}")
    else:
        doubt = ""
        if choice.rivals:
            doubt = f"; not surely cheaper than {', '.join(r.id[:8] for r in choice.rivals)}"
        settings = settings_column(records).read(choice.best)
        notes.append(
            f"cheapest{wanted}: {choice.best.id[:8]} ({settings}) at {amount(choice.cost)} per "
            f"million sequences{doubt}"
        )
        if idle := choice.cost.idle_cores:
            notes.append(
                f"it leaves {idle} of {choice.cost.cores} cores idle, which are paid for: more "
                "threads or instances may cost less"
            )
    ok = [r for r in records if r.ok]
    unknown = [limit for limit in choice.limits if any(limit.value(r) is None for r in ok)]
    if unknown:
        names = ", ".join(dict.fromkeys(limit.name for limit in unknown))
        notes.append(f"some records have too few calls for {names}: raise min_samples")
    return notes


def _nearest(choice: Choice) -> str:
    if choice.nearest is None:
        return ""
    failed = [limit for limit in choice.limits if not limit.met(choice.nearest)]
    has = ", ".join(f"{limit.name} {plain(limit.value(choice.nearest), 4)}" for limit in failed)
    return f"; nearest: {choice.nearest.id[:8]} with {has}"
