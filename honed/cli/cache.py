"""honed cache: show and remove cached artifacts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

ORDER = 11

app = typer.Typer(help="Show and remove cached weights, exports and references.")


@app.command("show")
def show() -> None:
    """Show every artifact: its kind, size, last use, and what it was made from."""
    from rich.console import Console
    from rich.table import Table

    from honed import artifacts

    entries = artifacts.entries()
    table = Table("kind", "key", "MiB", "last used", "made from", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    for entry in entries:
        made_from = ", ".join(f"{k}={v}" for k, v in entry.about.items() if k != "format")
        used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        table.add_row(
            entry.kind, entry.key[:8], f"{entry.size_bytes / 2**20:.1f}", used, made_from
        )
    total_gib = sum(e.size_bytes for e in entries) / 2**30
    console = Console()
    console.print(table)
    bound_gib = artifacts.max_bytes() / 2**30
    console.print(f"{total_gib:.2f} GiB of at most {bound_gib:g} GiB in {artifacts.root()}")


@app.command("prune")
def prune(
    keep_gib: Annotated[
        float, typer.Option(help="Keep the most recently used artifacts, up to this size.")
    ] = 0.0,
) -> None:
    """Remove artifacts, the least recently used first."""
    from honed import artifacts

    removed = artifacts.prune(int(keep_gib * 2**30))
    freed_gib = sum(a.size_bytes for a in removed) / 2**30
    print(f"removed {len(removed)}, {freed_gib:.2f} GiB")
