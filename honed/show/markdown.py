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
    lines = [
        _line([*(_safe(c.heading) for c in table.columns), "status"]),
        _line([*("---" if c.left else "---:" for c in table.columns), "---"]),
        *(_row(row) for row in table.rows),
        *_phases(records),
        *_notes(records, extra),
    ]
    return "\n".join(lines) + "\n"


def _row(row: Row) -> str:
    texts = [f"**{_safe(c.text)}**" if c.best else _safe(c.text) for c in row.cells]
    return _line([*texts, row.record.status])


def _phases(records: Sequence[Record]) -> list[str]:
    """The times of phases as a second table; empty where no record has phases."""
    lines = phase_lines(records)
    if not lines:
        return []
    aligned = ["---" if left else "---:" for left in LEFT]
    return ["", _line(HEADINGS), _line(aligned), *(_line(list(map(_safe, n))) for n in lines)]


def _notes(records: Sequence[Record], extra: Extra) -> list[str]:
    reasons = {f"{r.status}: {r.error.message}" for r in records if r.error and not r.ok}
    doubts = folded([d.message for r in records for d in r.doubts])
    notes = [*extra.notes, *sorted(reasons), *dict.fromkeys(doubts.values())]
    return ["", *(f"- {_safe(text)}" for text in notes)] if notes else []


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _safe(text: str) -> str:
    """Escapes what would end a cell or begin a tag."""
    for sign in "\\|<*`":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")
