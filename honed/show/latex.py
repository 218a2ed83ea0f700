"""Tables of records and of their phases as LaTeX for papers; they need the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from honed.record import Record
from honed.show.documents import Lines, Markup, tables
from honed.show.rows import Extra

_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "\N{EN DASH}": "--", "<": r"$<$", ">": r"$>$", "\n": " ",
}  # fmt: skip


def latex(records: Sequence[Record], extra: Extra | None = None) -> str:
    """The columns of the Markdown table, and the best values in bold."""
    return "\n".join(tables(records, extra or Extra(), Markup(_safe, _bold, _tabular)))


def _tabular(headings: Sequence[str], left: Sequence[bool], lines: Lines) -> str:
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{''.join('l' if each else 'r' for each in left)}}}",
            r"\toprule",
            _line(headings),
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
    return rf"\textbf{{{text}}}"


def _safe(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
