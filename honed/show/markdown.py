"""A table of records as Markdown, to paste into documents."""

from __future__ import annotations

from collections.abc import Sequence

from honed.record import Record
from honed.show.documents import Lines, Markup, tables
from honed.show.group_messages import folded
from honed.show.rows import Extra


def markdown(records: Sequence[Record], extra: Extra | None = None) -> str:
    """The table of the records and that of their phases. Below stand the notes of `extra`, the
    reasons of failures, and the doubts."""
    extra = extra or Extra()
    parts = tables(records, extra, Markup(safe, _bold, markdown_table))
    return "\n\n".join([*parts, *_notes(records, extra)]) + "\n"


def markdown_table(head: Sequence[str], left: Sequence[bool], rows: Lines) -> str:
    """A table of cells that are Markdown already; `left`: whether a column is aligned left."""
    dashes = ["---" if is_left else "---:" for is_left in left]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, dashes, *rows))


def _bold(text: str) -> str:
    return f"**{text}**"


def _notes(records: Sequence[Record], extra: Extra) -> list[str]:
    """One list of Markdown; none where there is nothing to say."""
    reasons = {f"{r.status}: {r.error.message}" for r in records if r.error and not r.ok}
    doubts = folded([d.message for r in records for d in r.doubts])
    notes = [*extra.notes, *sorted(reasons), *dict.fromkeys(doubts.values())]
    return ["\n".join(f"- {safe(text)}" for text in notes)] if notes else []


def safe(text: str) -> str:
    """Escapes what would end a cell or begin a tag."""
    for sign in "\\|<*`":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")
