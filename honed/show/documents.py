"""The tables of records for documents and papers, in any markup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honed.record import Record
from honed.show.phases import HEADINGS, LEFT, phase_lines
from honed.show.rows import Extra, rows

MEASURES = (
    "latency", "latency_p99", "forward", "backward", "optimizer", "throughput", "rss_peak",
    "after_forward", "cosine_min", "accuracy",
)  # fmt: skip
Lines = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Markup:
    """`text` escapes a cell, `bold` takes an escaped one. `table` takes escaped headings, whether
    each column is aligned left, and lines of escaped cells."""

    text: Callable[[str], str]
    bold: Callable[[str], str]
    table: Callable[[Sequence[str], Sequence[bool], Lines], str]


def tables(records: Sequence[Record], extra: Extra, markup: Markup) -> list[str]:
    """The table of the records, the best values in bold, and that of their phases if any has some.

    Records of the same model and shape stand together, the fastest first.
    """
    found = rows(records, MEASURES, extra.columns)
    headings = [*(column.heading for column in found.columns), "status"]
    left = [*(column.left for column in found.columns), True]
    lines = [
        [*(_cell(cell.text, cell.best, markup) for cell in row.cells),
         markup.text(row.record.status)]
        for row in found.rows
    ]  # fmt: skip
    parts = [markup.table(list(map(markup.text, headings)), left, lines)]
    if phases := phase_lines(records):
        cells = [list(map(markup.text, line)) for line in phases]
        parts.append(markup.table(list(map(markup.text, HEADINGS)), LEFT, cells))
    return parts


def _cell(text: str, best: bool, markup: Markup) -> str:
    return markup.bold(markup.text(text)) if best else markup.text(text)
