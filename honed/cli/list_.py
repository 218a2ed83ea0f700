"""honed list: the stored records, a row each."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def list_(
    where: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Only records with these settings."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One record a line.")] = False,
    store: Annotated[str | None, typer.Option(help="Database URL of the records.")] = None,
) -> None:
    """List stored records, the newest last."""
    from honed.store import open_store

    records = open_store(store).list(limit=limit, where=where or [])
    if as_json:
        for record in records:
            print(json.dumps(record.to_json(), allow_nan=False))
        return
    if not records:
        print("no records yet: honed run model=bert-base-uncased")
        return
    from rich.console import Console

    from honed.report.table import records_table

    Console().print(records_table(records))
