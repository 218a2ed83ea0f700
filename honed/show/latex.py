"""Tables of records and of their phases as LaTeX for papers; they need the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from honed.record import Record
from honed.show.markdown import MEASURES
from honed.show.phases import HEADINGS, LEFT, phase_lines
from honed.show.rows import Extra, rows

_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "\N{EN DASH}": "--", "<": r"$<$", ">": r"$>$", "\n": " ",
}  # fmt: skip


def latex(records: Sequence[Record], extra: Extra | None = None) -> str:
    """The columns of the Markdown table, and the best values in bold."""
    extra = extra or Extra()
    table = rows(records, MEASURES, extra.columns)
    headings = [*(column.heading for column in table.columns), "status"]
    left = [*(column.left for column in table.columns), True]
    lines = [
        [*(_bold(cell.text) if cell.best else _safe(cell.text) for cell in row.cells),
         _safe(row.record.status)]
        for row in table.rows
    ]  # fmt: skip
    parts = [_tabular(headings, left, lines)]
    if phases := phase_lines(records):
        parts.append(_tabular(HEADINGS, LEFT, [list(map(_safe, line)) for line in phases]))
    return "\n".join(parts)


def _tabular(headings: Sequence[str], left: Sequence[bool], lines: Sequence[Sequence[str]]) -> str:
    """`lines` hold cells that are escaped already."""
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{''.join('l' if each else 'r' for each in left)}}}",
            r"\toprule",
            _line([_safe(heading) for heading in headings]),
            r"\midrule",
            *map(_line, lines),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _bold(text: str) -> str:
    return rf"\textbf{{{_safe(text)}}}"


def _safe(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
