"""Every record in a table that sorts: engines, precisions and shapes beside their measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from rich.text import Text

from honed.record import Record
from honed.report.evidence import SHAPE, SUBJECT, Evidence, latency
from honed.report.page.sections import badge
from honed.show.columns import Column, accuracy, key_columns, measures
from honed.show.numbers import NONE

_NUMBER = re.compile(r"[^\d]*(-?\d[\d,]*\.?\d*(?:e-?\d+)?)")


def ordered(evidence: Evidence) -> list[list[Record]]:
    """Groups that answer the same question at the same shape; in each the fastest first."""
    groups = evidence.groups(evidence.records, (*SUBJECT, *SHAPE, "total_batch"))

    def key(record: Record) -> tuple[bool, float]:
        found = latency(record)
        return found is None, found[0] if found else 0.0

    return [sorted(rows, key=key) for _, rows in groups]


def table_columns(evidence: Evidence, extra: Sequence[Column] = ()) -> list[Column]:
    """A single model is in the page's title; a measure that no record has is left out."""
    several = len(evidence.model_names) > 1
    keys = [c for c in key_columns(evidence.records) if several or c.name != "model"]
    all_measures = (*measures(evidence.records), *accuracy(evidence.records), *extra)
    return [*keys, *(c for c in all_measures if _is_known(c, evidence))]


def table(evidence: Evidence, extra: Sequence[Column] = ()) -> str:
    """The section of the page."""
    if not evidence.records:
        return ""
    chosen = table_columns(evidence, extra)
    head = "".join(
        f'<th scope="col" aria-sort="none"{_side(c)}><button type="button">{_header(c)}</button>'
        "</th>"
        for c in chosen
    )
    body = "".join(_rows(chosen, group) for group in ordered(evidence))
    return (
        '<section id="table"><h2>All records</h2>'
        '<p class="small">A column\'s name sorts by it. Bold: the best beyond doubt among ok '
        "records of the same model and shape. Of the bound: arithmetic reached, of the cores' "
        "measured best.</p>"
        '<div class="scroll" role="region" aria-label="All records" tabindex="0"><table><thead>'
        f"<tr>{_plain_head('id')}{_plain_head('status')}{head}</tr>"
        f"</thead><tbody>{body}</tbody></table></div></section>"
    )


def _rows(chosen: Sequence[Column], records: Sequence[Record]) -> str:
    cells = [_cells(column, records) for column in chosen]
    return "".join(
        f'<tr id="r-{escape(r.id)}"><th scope="row" class="id">{escape(r.id[:8])}</th>'
        f"<td>{badge(r.status)}{_marks(r)}</td>"
        + "".join(_cell(c, by_row[i]) for c, by_row in zip(chosen, cells, strict=True))
        + "</tr>"
        for i, r in enumerate(records)
    )


def _cells(column: Column, records: Sequence[Record]) -> list[Text]:
    """The best stands out only where every ok row's value has an interval to be held against."""
    if column.ends is None or all(column.ends(r) for r in records if r.ok):
        return column.cells(records)
    return [Text(column.read(r)) for r in records]


def _cell(column: Column, text: Text) -> str:
    shown = escape(text.plain)
    number = None if column.left else _NUMBER.match(text.plain)
    sort = f' data-value="{number[1].replace(",", "")}"' if number else ""
    return f"<td{_side(column)}{sort}>{f'<strong>{shown}</strong>' if text.style else shown}</td>"


def _marks(record: Record) -> str:
    kinds = ", ".join(dict.fromkeys(d.kind.replace("_", " ") for d in record.doubts))
    return f'<span class="doubts">{escape(kinds)}</span>' if kinds else ""


def _is_known(column: Column, evidence: Evidence) -> bool:
    return any(column.read(r) != NONE for r in evidence.records)


def _side(column: Column) -> str:
    return "" if column.left else ' class="number"'


def _plain_head(name: str) -> str:
    return f'<th scope="col" aria-sort="none"><button type="button">{name}</button></th>'


def _header(column: Column) -> str:
    return escape(column.header).replace("\n", "<br>")
