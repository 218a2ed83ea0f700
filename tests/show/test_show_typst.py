"""The table for papers that are set with Typst: whole rows, and texts that end no string."""

from __future__ import annotations

import re

from records import failed_record, make_record
from reports import engines

from honed.show.typst import typst

_CELL = re.compile(r'strong\("(?:[^"\\]|\\.)*"\)|"(?:[^"\\]|\\.)*"')


def lines(text: str) -> list[list[str]]:
    """The cells of each row, the heading included."""
    rows = [line for line in text.splitlines() if line.lstrip().startswith(('"', "table.header"))]
    return [_CELL.findall(row) for row in rows]


def test_every_record_is_a_row_with_as_many_cells_as_columns() -> None:
    records = engines()
    text = typst(records)
    rows = lines(text)
    columns = int(re.search(r"columns: (\d+)", text)[1])  # type: ignore[index]
    assert len(rows) == len(records) + 1
    assert {len(row) for row in rows} == {columns}
    assert text.count("strong(") >= 1  # the best beyond doubt


def test_what_a_record_says_stays_inside_its_string() -> None:
    nasty = 'a"b\\ #strong[x]\n$y$'
    text = typst([make_record({"torch.mode": nasty}), failed_record("oom", "no memory")])
    assert '"a\\"b\\\\ #strong[x] $y$"' in text
    assert {len(row) for row in lines(text)} == {len(lines(text)[0])}


def test_phases_are_a_second_table() -> None:
    assert typst([make_record()]).count("#table(") == 1
