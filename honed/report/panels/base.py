"""What every panel gives: the same data for Plotly and for matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from honed.report.evidence import Point
from honed.report.style import Style
from honed.show.numbers import measured

Legend = Sequence[tuple[str, Style]]


class Panel(Protocol):
    """One pair of axes. A form of one's own needs only these."""

    @property
    def title(self) -> str: ...

    @property
    def height_in(self) -> float:
        """How high matplotlib shall draw it."""

    def legend(self) -> Legend:
        """Which lines or bars there are, if the panel itself does not name them."""

    def plotly(self) -> dict[str, Any]:
        """Plotly's `data` and `layout`, in the light colours of `look`.

        A trace whose `meta` is a legend's label can be switched on and off there.
        """

    def draw(self, axes: Any) -> None:
        """The same on matplotlib's axes."""


class Solid(Protocol):
    """A form in space: on screens only, where it can be turned; a panel says the same flat."""

    @property
    def title(self) -> str: ...

    def plotly(self) -> dict[str, Any]: ...


def told(point: Point, scale: float, unit: str) -> str:
    """`45.23 ±0.12 ms`, and what is wrong with it."""
    value = measured(point.value, point.ends, scale)
    return f"{value}{f' {unit}' if unit else ''}{doubtful(point)}"


def doubtful(point: Point) -> str:
    return "" if point.ok else f" ({point.status})"


def hover(label: str, point: Point, scale: float, unit: str) -> str:
    """What the pointer reads: the value, its records, and what makes them doubtful."""
    ids = ", ".join(r.id[:8] for r in point.records[:4])
    more = f" and {len(point.records) - 4} more" if len(point.records) > 4 else ""
    doubts = dict.fromkeys(d.kind.replace("_", " ") for r in point.records for d in r.doubts)
    lines = [f"<b>{escaped(label)}</b>", told(point, scale, unit), f"record {ids}{more}"]
    return "<br>".join([*lines, *([f"doubts: {', '.join(doubts)}"] if doubts else [])])


def escaped(text: str) -> str:
    """Plotly reads its texts as a little HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
