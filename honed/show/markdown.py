"""A table of records as Markdown, to paste into documents."""

from __future__ import annotations

from collections.abc import Sequence

from honed.record import Record
from honed.show.group_messages import folded
from honed.show.phases import HEADINGS, LEFT, phase_lines
from honed.show.rows import Extra, Row, rows

MEASURES = (
    "latency", "latency_p99", "forward", "backward", "optimizer", "throughput", "rss_peak",
    "after_forward", "cosine_min", "accuracy",
)  # fmt: skip


def markdown(records: Sequence[Record], extra: Extra | None = None) -> str:
    """Records of the same model and shape stand together, the fastest first; the best beyond
    doubt is bold. Below stand the notes of `extra`, the reasons of failures, and the doubts."""
    extra = extra or Extra()
    table = rows(records, MEASURES, extra.columns)
    head = [*(safe(c.heading) for c in table.columns), "status"]
    left = [*(c.left for c in table.columns), True]
    body = markdown_table(head, left, [_row(row) for row in table.rows])
    return "\n".join([body, *_phases(records), *_notes(records, extra)]) + "\n"


def markdown_table(
    head: Sequence[str], left: Sequence[bool], rows: Sequence[Sequence[str]]
) -> str:
    """A table of cells that are Markdown already; `left`: whether a column is aligned left."""
    dashes = ["---" if is_left else "---:" for is_left in left]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, dashes, *rows))


def _row(row: Row) -> list[str]:
    texts = [f"**{safe(c.text)}**" if c.best else safe(c.text) for c in row.cells]
    return [*texts, row.record.status]


def _phases(records: Sequence[Record]) -> list[str]:
    """The times of phases as a second table; empty where no record has phases."""
    lines = phase_lines(records)
    if not lines:
        return []
    return ["", markdown_table(HEADINGS, LEFT, [list(map(safe, line)) for line in lines])]


def _notes(records: Sequence[Record], extra: Extra) -> list[str]:
    reasons = {f"{r.status}: {r.error.message}" for r in records if r.error and not r.ok}
    doubts = folded([d.message for r in records for d in r.doubts])
    notes = [*extra.notes, *sorted(reasons), *dict.fromkeys(doubts.values())]
    return ["", *(f"- {safe(text)}" for text in notes)] if notes else []


def safe(text: str) -> str:
    """Escapes what would end a cell or begin a tag."""
    for sign in "\\|<*`":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")
