"""honed show: one record in full, or what differs between two."""

from __future__ import annotations

import json
from typing import Annotated

import typer

ORDER = 5


def show(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID] [ID]", help="A record's id, or its beginning."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The record, or the list of differences, as JSON.")
    ] = False,
    store: Annotated[str | None, typer.Option(help="Database URL of the records.")] = None,
) -> None:
    """Show one record in full; without an id, the newest. With two ids, show what differs."""
    from rich.console import Console

    from honed.errors import UsageError
    from honed.store import open_store

    opened = open_store(store, make=False)
    if ids and len(ids) > 2:
        raise UsageError("honed show takes one record or two", f"honed show {ids[0]} {ids[1]}")
    if ids and len(ids) == 2:
        from honed.show.difference import difference_table, differences

        one, other = opened.get(ids[0]), opened.get(ids[1])
        if as_json:
            print(json.dumps([d.to_json() for d in differences(one, other)], allow_nan=False))
            return
        Console().print(difference_table(one, other))
        return
    record = opened.get(ids[0]) if ids else opened.newest()
    if as_json:
        print(json.dumps(record.to_json(), allow_nan=False))
        return

    from honed.max_batch.found import largest_batch
    from honed.show.details import record_details
    from honed.show.max_batch import max_batch_details

    console = Console()
    console.print(record_details(record))
    if (found := largest_batch(record)) is not None:
        console.print(max_batch_details(found))
