"""The page's table as Markdown, to paste into documents: what one compares, with its statuses."""

from __future__ import annotations

from collections.abc import Sequence

from honed.record import Record
from honed.report.evidence import Evidence
from honed.report.page import Extra
from honed.report.page.table import ordered
from honed.show.columns import COSINE, P50, P99, PEAK, THROUGHPUT, Column, accuracy, key_columns
from honed.show.group_messages import folded
from honed.show.numbers import NONE

_MEASURES = (P50, P99, THROUGHPUT, PEAK, COSINE)


def markdown(evidence: Evidence, extra: Extra | None = None) -> str:
    """Groups that share a shape stay together, the fastest first; the best beyond doubt is bold.

    Below it what did not work and why, and the notes of `extra`.
    """
    extra = extra or Extra()
    keys = [c for c in key_columns(evidence.records)
            if c.name != "model" or len(evidence.model_names) > 1]  # fmt: skip
    measures = [
        c for c in (*_MEASURES, *accuracy(evidence.records), *extra.columns)
        if any(c.read(r) != NONE for r in evidence.records)
    ]  # fmt: skip
    chosen = [*keys, *measures]
    rows = [row for group in ordered(evidence) for row in _rows(chosen, group)]
    lines = [
        _line([*(_header(c) for c in chosen), "status"]),
        _line([*("---" if c.left else "---:" for c in chosen), "---"]),
        *rows,
        *_notes(evidence, extra),
    ]
    return "\n".join(lines) + "\n"


def _rows(chosen: Sequence[Column], records: Sequence[Record]) -> list[str]:
    by_column = [column.cells(records) for column in chosen]
    return [
        _line([
            *(f"**{_safe(t.plain)}**" if t.style else _safe(t.plain)
              for t in (cells[i] for cells in by_column)),
            record.status,
        ])
        for i, record in enumerate(records)
    ]  # fmt: skip


def _notes(evidence: Evidence, extra: Extra) -> list[str]:
    """Each reason once."""
    reasons = {
        f"{r.status}: {r.error.message}" for r in evidence.records if r.error and not r.ok
    }  # fmt: skip
    doubts = folded([d.message for r in evidence.records for d in r.doubts])
    told = [*sorted(reasons), *dict.fromkeys(doubts.values())]
    notes = [f"- {_safe(text)}" for text in (*extra.notes, *told)]
    return ["", *notes] if notes else []


def _header(column: Column) -> str:
    """Table headers break at their seams: `batch_` / `size`."""
    text = column.header.replace("_\n", "_").replace(".\n", ".").replace("-\n", "")
    return _safe(text.replace("\n", " "))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _safe(text: str) -> str:
    """Nothing ends a cell or begins a tag."""
    for sign in "\\|<*`":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")
