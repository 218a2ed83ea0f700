"""honed show: one record in full."""

from __future__ import annotations

import json
from typing import Annotated

import typer

ORDER = 5


def show(
    id: Annotated[str | None, typer.Argument(help="A record's id, or its beginning.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The record as JSON.")] = False,
    store: Annotated[str | None, typer.Option(help="Database URL of the records.")] = None,
) -> None:
    """Show one record in full; without an id, the newest."""
    from honed.store import open_store

    opened = open_store(store, make=False)
    record = opened.get(id) if id else opened.newest()
    if as_json:
        print(json.dumps(record.to_json(), allow_nan=False))
        return
    from rich.console import Console

    from honed.show.details import record_details

    Console().print(record_details(record))
