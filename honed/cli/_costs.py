"""The options --price and --limit, for every verb that shows records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from honed.measures import Limit
    from honed.record import Record
    from honed.show.columns import Column
    from honed.show.cost import Entry
    from honed.show.rows import Extra

PriceOption = Annotated[
    str | None,
    typer.Option("--price", help="Price of this machine, as 4.848/h, or a YAML file of machines."),
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option("--limit", help="With --price: a limit for the cheapest, as latency_p99_ms<=50."),
]


class Costs:
    """The user's prices and limits, parsed before anything is measured; false without a price."""

    def __init__(self, price: str | None, limits: Sequence[str] | None = None) -> None:
        self.known: tuple[Entry, ...] = ()
        self.limits: tuple[Limit, ...] = ()
        if price is not None:
            from honed.show.cost import prices

            self.known = prices(price)
        if limits:
            from honed.errors import UsageError
            from honed.measures import parse_limit

            if price is None:
                raise UsageError("--limit asks for the cheapest setting", "add --price 4.848/h")
            self.limits = tuple(parse_limit(text) for text in limits)

    def __bool__(self) -> bool:
        return bool(self.known)

    def json(self, record: Record) -> dict[str, Any]:
        """The record as JSON. With prices it has a key `cost` besides, which is not stored."""
        plain = record.to_json()
        if self.known:
            from honed.show.cost import cost

            priced = cost(record, self.known)
            plain["cost"] = None if priced is None else priced.to_json()
        return plain

    def columns(self) -> tuple[Column, ...]:
        """The column for tables of records; none without a price."""
        from honed.show.cost_table import cost_column

        return (cost_column(self.known),) if self.known else ()

    def notes(self, records: Sequence[Record]) -> list[str]:
        from honed.show.cost_table import cost_notes

        return cost_notes(records, self.known, self.limits) if self.known else []

    def on_page(self, records: Sequence[Record]) -> Extra:
        """What a page shows of the costs: a column, and the notes as sentences."""
        from honed.show.rows import Extra

        sentences = tuple(f"{n[0].upper()}{n[1:]}." for n in self.notes(records))
        return Extra(self.columns(), sentences)

    def print_table(self, records: Sequence[Record]) -> None:
        """Print the table of records, with costs and their assumption if there are prices."""
        from rich.console import Console
        from rich.text import Text

        from honed.show.phases import phase_table
        from honed.show.table import RecordsTable

        console = Console()
        console.print(RecordsTable(records, self.columns()))
        if (phases := phase_table(records)) is not None:
            console.print(phases)
        for note in self.notes(records):
            console.print(Text(note, "cyan" if note.startswith("cheapest") else "dim"))
