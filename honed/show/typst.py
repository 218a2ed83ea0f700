"""Tables of records and of their phases as Typst, for papers."""

from __future__ import annotations

from collections.abc import Sequence

from honed.record import Record
from honed.show.documents import Lines, Markup, tables
from honed.show.rows import Extra

_SIZE = "7pt"  # a table of a sweep is as wide as a page, and Typst does not break its words


def typst(records: Sequence[Record], extra: Extra | None = None) -> str:
    """The columns of the Markdown table, and the best values in bold."""
    return "\n".join(tables(records, extra or Extra(), Markup(_text, _bold, _table)))


def _table(headings: Sequence[str], left: Sequence[bool], lines: Lines) -> str:
    """`headings` and `lines` hold expressions of Typst."""
    sides = ", ".join("left" if each else "right" for each in left)
    return "\n".join(
        [
            "#[",
            f"#set text(size: {_SIZE})",
            "#table(",
            f"  columns: {len(headings)},",
            f"  align: ({sides},),",
            "  stroke: none,",
            "  inset: (x: 3pt, y: 4pt),",
            "  table.hline(),",
            f"  table.header({', '.join(headings)}),",
            "  table.hline(stroke: 0.5pt),",
            *(f"  {', '.join(line)}," for line in lines),
            "  table.hline(),",
            ")",
            "]",
            "",
        ]
    )


def _bold(expression: str) -> str:
    return f"strong({expression})"


def _text(text: str) -> str:
    """A string of Typst, in which no sign of the markup has a meaning."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
