"""honed report: one page with figures, findings and a table of stored records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli._costs import Costs, LimitOption, PriceOption

if TYPE_CHECKING:
    from honed.study import StudyFacts

ORDER = 7


def report(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Only records with these settings."),
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(help="Only records of this sweep: its id, or 'last'.")
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Draw a tuning study with its records: its name, or 'last'.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help="Conditions in one text: 'model=NAME and created>2026-03-01'."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    png: Annotated[
        Path | None, typer.Option(help="Also write every picture as PNG into this folder.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the table as Markdown into this file.")
    ] = None,
    latex: Annotated[
        Path | None, typer.Option(help="Also write the table as LaTeX into this file.")
    ] = None,
    typst: Annotated[
        Path | None, typer.Option(help="Also write the table as Typst into this file.")
    ] = None,
    price: PriceOption = None,
    limits: LimitOption = None,
    store: Annotated[str | None, typer.Option(help="Database URL of the records.")] = None,
) -> None:
    """Draw stored records: one HTML file that needs no network, and PNGs.

    Failed, diverged and unproven records are listed with their reasons. Nothing is measured.
    """
    from honed.report import make, select, write_latex, write_markdown, write_typst

    costs = Costs(price, limits)
    conditions = [*(words or []), *([where] if where else [])]
    facts = _study(study, sweep, store)
    if facts is not None:
        conditions.append(f"sweep={facts.name}")
    records = select(store, conditions, sweep, facts.compared if facts else ())
    extra = costs.on_page(records)
    for path in make(records, out, png, study=facts, extra=extra):
        print(path)
    if markdown is not None:
        print(write_markdown(records, markdown, extra))
    if latex is not None:
        print(write_latex(records, latex, extra))
    if typst is not None:
        print(write_typst(records, typst, extra))
    failed = sum(r.metrics is None for r in records)
    failures = f", {failed} without a result" if failed else ""
    print(f"{len(records)} records{failures}", file=sys.stderr)


def _study(name: str | None, sweep: str | None, store: str | None) -> StudyFacts | None:
    if name is None:
        return None
    from honed.errors import UsageError
    from honed.tune.api import stored_facts

    if sweep is not None:
        raise UsageError("a study already selects one sweep", "type --study or --sweep")
    return stored_facts(name, store)
