"""Memory over the allocations of a step, stacked by kind: a prediction or a measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from honed.report.browser import escaped, figure, objects
from honed.report.panels.base import PAGE_IN, Figure, Legend
from honed.report.paper import dress
from honed.report.style import GRID, INK, MUTED, Style
from honed.show.numbers import mib
from honed.timeline import Block, MemoryKind, Timeline

X_TITLE = "allocations and releases, in their order"
MIB = 2**20
_HUES = (0, 1, 2, 3, 4, 6)  # 5 is too near to 0
STYLES = {kind: Style(hue) for hue, kind in zip(_HUES, MemoryKind, strict=True)}
_MOST_POINTS = 3000  # more cannot be told apart on a screen
_POINTS_OF_PANEL = 800  # in a page with many pictures
_ROOM = 1.15  # above the peak, for the names of the phases


@dataclass(frozen=True, slots=True)
class Alive:
    """`highest_bytes` is the top of the axis, the same for timelines that are compared."""

    title: str
    timeline: Timeline
    highest_bytes: int = 0

    @property
    def size_in(self) -> tuple[float, float]:
        return PAGE_IN, 2.6

    def legend(self) -> Legend:
        return [(str(kind), STYLES[kind]) for kind in MemoryKind if self._has(kind)]

    def _has(self, kind: MemoryKind) -> bool:
        return any(block.kind is kind and block.size_bytes for block in self.timeline.blocks)

    @property
    def _top_mib(self) -> float:
        return top_mib(max(self.highest_bytes, peak_bytes(self.timeline)))

    def plotly(self) -> Figure:
        drawn = figure(
            list(traces(self.timeline, _POINTS_OF_PANEL)), 330,
            xaxis={"title": {"text": X_TITLE}},
            yaxis={"range": [0, self._top_mib], "tickformat": ",",
                   "title": {"text": "MiB requested"}},
        )  # fmt: skip
        for begin, name in phases(self.timeline):
            drawn.add_vline(begin, line={"color": GRID, "width": 1})
            drawn.add_annotation(
                x=begin, y=self._top_mib, text=name, textangle=-90, xanchor="left",
                yanchor="top", font={"size": 10, "color": MUTED},
            )  # fmt: skip
        return drawn

    def draw(self, axes: Any) -> None:
        ticks = chosen(self.timeline, _POINTS_OF_PANEL)
        kinds = [kind for kind in MemoryKind if self._has(kind)]
        heights = []
        for kind in kinds:
            alive = self.timeline.alive_bytes(kind)
            heights.append([alive[tick] / MIB for tick in ticks])
        axes.stackplot(ticks, heights, colors=[STYLES[kind].colour for kind in kinds], step="post")
        for begin, name in phases(self.timeline):
            axes.axvline(begin, color=GRID, linewidth=0.8)
            axes.annotate(name, (begin, self._top_mib), (2, -2), rotation=90, va="top",
                          textcoords="offset points", fontsize=6, color=MUTED)  # fmt: skip
        dress(axes, self.title, X_TITLE)
        axes.set_ylim(0, self._top_mib)


def peak_bytes(timeline: Timeline) -> int:
    return max(timeline.alive_bytes(), default=0)


def top_mib(highest_bytes: int) -> float:
    """The end of the axis of memory for this peak."""
    return _ROOM * (highest_bytes / MIB or 1.0)


def phases(timeline: Timeline) -> list[tuple[int, str]]:
    """The tick at which each phase begins, and its name."""
    return [(span.begin, str(span.phase)) for span in timeline.spans if span.end > span.begin]


def traces(timeline: Timeline, most: int = _MOST_POINTS) -> Iterator[Any]:
    """Plotly's traces: an area for each kind, and a line over all of them that names the newest
    allocation beside the pointer."""
    scatter = objects().Scatter
    ticks = chosen(timeline, most)
    newest = _newest(timeline)
    for kind in MemoryKind:
        alive = timeline.alive_bytes(kind)
        if any(alive):
            yield scatter(
                x=ticks, y=[alive[tick] / MIB for tick in ticks], name=str(kind), meta=str(kind),
                stackgroup="kinds", mode="lines", legendgroup=str(kind),
                line={"width": 0.5, "color": STYLES[kind].colour, "shape": "hv"},
                hoverinfo="x+text+name", text=[f"{mib(alive[tick])} MiB" for tick in ticks],
            )  # fmt: skip
    total = timeline.alive_bytes()
    yield scatter(
        x=ticks, y=[total[tick] / MIB for tick in ticks], name="all", mode="lines",
        line={"width": 1, "color": INK, "shape": "hv"}, showlegend=False, hoverinfo="x+text+name",
        text=[_hover(total[tick], newest[tick]) for tick in ticks],
    )  # fmt: skip


def chosen(timeline: Timeline, most: int = _MOST_POINTS) -> list[int]:
    """At most so many ticks: of each stretch, the one at which most is alive."""
    total = timeline.alive_bytes()
    width = -(-len(total) // most) or 1
    return [
        max(range(start, min(start + width, len(total))), key=total.__getitem__)
        for start in range(0, len(total), width)
    ]


def _newest(timeline: Timeline) -> list[Block | None]:
    """The block that was born last, for each tick."""
    born = {block.born: block for block in timeline.blocks}
    newest: list[Block | None] = []
    for tick in range(timeline.ticks):
        newest.append(born.get(tick, newest[-1] if newest else None))
    return newest


def _hover(total: int, block: Block | None) -> str:
    if block is None:
        return f"{mib(total)} MiB"
    where = f"{block.op} in {block.module}" if block.module else block.op
    return f"{mib(total)} MiB<br>{escaped(where)}: {mib(block.size_bytes)} MiB {block.kind}"
