"""Tables of records and of their phases as Typst, for papers."""

from __future__ import annotations

from collections.abc import Sequence

from honed.record import Record
from honed.show.markdown import MEASURES
from honed.show.phases import HEADINGS, LEFT, phase_lines
from honed.show.rows import Extra, rows

_SIZE = "7pt"  # a table of a sweep is as wide as a page, and Typst does not break its words


def typst(records: Sequence[Record], extra: Extra | None = None) -> str:
    """The columns of the Markdown table, and the best values in bold."""
    extra = extra or Extra()
    table = rows(records, MEASURES, extra.columns)
    headings = [*(column.heading for column in table.columns), "status"]
    left = [*(column.left for column in table.columns), True]
    lines = [
        [*(_bold(cell.text) if cell.best else _text(cell.text) for cell in row.cells),
         _text(row.record.status)]
        for row in table.rows
    ]  # fmt: skip
    parts = [_table(headings, left, lines)]
    if phases := phase_lines(records):
        parts.append(_table(HEADINGS, LEFT, [list(map(_text, line)) for line in phases]))
    return "\n".join(parts)


def _table(headings: Sequence[str], left: Sequence[bool], lines: Sequence[Sequence[str]]) -> str:
    """`lines` hold expressions of Typst."""
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
            f"  table.header({', '.join(map(_text, headings))}),",
            "  table.hline(stroke: 0.5pt),",
            *(f"  {', '.join(line)}," for line in lines),
            "  table.hline(),",
            ")",
            "]",
            "",
        ]
    )


def _bold(text: str) -> str:
    return f"strong({_text(text)})"


def _text(text: str) -> str:
    """A string of Typst, in which no sign of the markup has a meaning."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
