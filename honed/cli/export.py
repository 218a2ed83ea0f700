"""honed export: stored records in formats that other tools read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ORDER = 8


def export(
    where: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Only records with these settings."),
    ] = None,
    format: Annotated[str, typer.Option(help="jsonl, csv, parquet or pyperf.")] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="The file; by default standard output.")] = None,
    store: Annotated[str | None, typer.Option(help="Database URL of the records.")] = None,
) -> None:
    """Write stored records as jsonl, csv, parquet, or for `python -m pyperf compare_to`."""
    from honed.export import check_format
    from honed.export import export as write
    from honed.store import open_store

    check_format(format)
    records = open_store(store, make=False).list(limit=None, where=where or [])
    write(records, format, out if out is not None else sys.stdout.buffer)
    if out is not None:
        print(f"{len(records)} records in {out}", file=sys.stderr)
