"""The option --format: records printed as a table for a document, or as rows for a program."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from honed.cli._costs import Costs
    from honed.record import Record

TEXT_FORMATS = ("md", "tex", "typst", "csv", "jsonl")

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format", metavar=f"[{'|'.join(TEXT_FORMATS)}]",
        help="Print a table of Markdown, LaTeX or Typst, CSV, or a record a line instead.",
    ),
]  # fmt: skip


def check_text_format(
    format: str | None, known: Sequence[str] = TEXT_FORMATS, *, as_json: bool = False
) -> None:
    """UsageError before anything is measured, if the format is not known or asked for twice."""
    from honed.errors import UsageError, nearest

    if format is None:
        return
    if format not in known:
        raise UsageError(f"no format is called {format!r}", nearest(format, known))
    if as_json:
        raise UsageError(
            "--json and --format both say what is printed", "give only one of the two"
        )


def print_records(records: Sequence[Record], format: str, costs: Costs) -> None:
    """Print the records in one of TEXT_FORMATS. CSV has no costs: it has the record's keys."""
    if format == "md":
        from honed.show.markdown import markdown

        sys.stdout.write(markdown(records, costs.on_page(records)))
        return
    if format == "tex":
        from honed.show.latex import latex

        sys.stdout.write(latex(records, costs.on_page(records)))
        return
    if format == "typst":
        from honed.show.typst import typst

        sys.stdout.write(typst(records, costs.on_page(records)))
        return
    from honed.export import export

    sys.stdout.flush()
    export(records, format, sys.stdout.buffer)
