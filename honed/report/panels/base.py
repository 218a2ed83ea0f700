"""What every panel offers: one set of data, drawn by Plotly and by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from honed.report.browser import escaped
from honed.report.evidence import Point
from honed.report.style import Style
from honed.show.numbers import measured

Legend = Sequence[tuple[str, Style]]
Figure = Any  # plotly.graph_objects.Figure
PAGE_IN = 7.2  # a panel as wide as the page
HALF_PAGE_IN = PAGE_IN / 2


class Panel(Protocol):
    """One pair of axes. A new form of panel needs only these."""

    @property
    def title(self) -> str: ...

    @property
    def size_in(self) -> tuple[float, float]:
        """The width and the height that the panel needs in a PNG."""

    def legend(self) -> Legend:
        """The lines or bars that the panel does not name beside them."""

    def plotly(self) -> Figure:
        """The browser's figure, in the light colours of `style`.

        The legend's button switches the traces whose `meta` is its label.
        """

    def draw(self, axes: Any) -> None:
        """The same on matplotlib's axes."""


class Solid(Protocol):
    """A form in space. It is drawn on screens only, beside a panel that shows the same flat."""

    @property
    def title(self) -> str: ...

    def plotly(self) -> Figure: ...


def value_text(point: Point, unit: str) -> str:
    """`45.23 ±0.12 ms`, with the status where it is not ok."""
    status = "" if point.ok else f"({point.status})"
    return " ".join(filter(None, [measured(point.value, point.ends), unit, status]))


def errors(point: Point) -> tuple[float, float]:
    """How far the interval reaches below and above the value."""
    return max(0.0, point.value - point.low), max(0.0, point.high - point.value)


def hover(label: str, point: Point, unit: str) -> str:
    """The text beside the pointer: the value, its records, and their doubts."""
    ids = ", ".join(r.id[:8] for r in point.records[:4])
    more = f" and {len(point.records) - 4} more" if len(point.records) > 4 else ""
    lines = [f"<b>{escaped(label)}</b>", value_text(point, unit), f"record {ids}{more}"]
    if doubts := dict.fromkeys(d.kind.replace("_", " ") for r in point.records for d in r.doubts):
        lines.append(f"doubts: {', '.join(doubts)}")
    return "<br>".join(lines)
