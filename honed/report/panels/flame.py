"""A flame graph: the time of a call by phase, module and operator, each above what contains it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from honed.profile import KINDS, ProfileRow, kind_of
from honed.report.browser import escaped, figure, objects
from honed.report.panels.base import PAGE_IN, Figure, Legend
from honed.report.paper import dress
from honed.report.style import GRID, INK, PAPER, Style
from honed.show.numbers import plain

_LEVEL_PX = 22
_LEAST_SHARE = 0.002  # of the call; narrower frames cannot be seen
_TEXT_SHARE = 0.05  # of the call; narrower frames have no name on paper
_INSIDE = "phases and modules"
_INNER = re.compile(r"\.(?!\*)")  # between the parts of a module's path; `layers.*` is one
KIND_STYLES: Mapping[str, Style] = {
    "matrix products": Style(0), "softmax": Style(1), "normalisation": Style(2),
    "optimizer": Style(3), "other": Style(4), "between operators": Style(6),
}  # fmt: skip


@dataclass(slots=True)
class _Part:
    """A phase, a part of a module's path, or an operator, and what is inside."""

    name: str
    kind: str = ""  # of an operator; empty for what holds operators
    seconds: float = 0.0
    flops: int = 0
    parts: dict[tuple[str, str], _Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Frame:
    """One rectangle: from `began_s`, over `seconds`, at `level` (0: the whole call)."""

    name: str
    kind: str
    level: int
    began_s: float
    seconds: float
    text: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class Flame:
    """Equal layers are added up (`layers.*`), so widths are sums and not moments."""

    title: str
    frames: tuple[Frame, ...]

    @property
    def size_in(self) -> tuple[float, float]:
        return PAGE_IN, 0.6 + 0.22 * self._levels

    @property
    def _levels(self) -> int:
        return 1 + max(frame.level for frame in self.frames)

    def legend(self) -> Legend:
        shown = {frame.kind for frame in self.frames}
        return [(kind, KIND_STYLES[kind]) for kind in KINDS if kind in shown]

    def plotly(self) -> Figure:
        traces = [self._trace(kind, frames) for kind, frames in self._by_kind()]
        drawn = figure(
            traces, 60 + _LEVEL_PX * self._levels,
            xaxis={"title": {"text": "ms of a call under the profiler"}, "rangemode": "tozero"},
            yaxis={"visible": False, "range": [-0.5, self._levels - 0.5]},
        )  # fmt: skip
        # A name that does not fit into its frame is left out.
        drawn.update_layout(uniformtext={"mode": "hide", "minsize": 9}, bargap=0)
        return drawn

    def _trace(self, kind: str, frames: list[Frame]) -> Any:
        return objects().Bar(
            x=[1e3 * f.seconds for f in frames], base=[1e3 * f.began_s for f in frames],
            y=[f.level for f in frames], width=[0.94] * len(frames),
            marker={"color": _colour(kind), "line": {"color": PAPER, "width": 1}},
            text=[escaped(f.name) for f in frames], textposition="inside", textangle=0,
            insidetextanchor="start", textfont={"color": PAPER if kind else INK, "size": 11},
            hovertext=[f.text for f in frames], meta=kind or _INSIDE,
        )  # fmt: skip

    def draw(self, axes: Any) -> None:
        whole_s = self.frames[0].seconds
        for frame in self.frames:
            axes.barh(
                frame.level, 1e3 * frame.seconds, 0.94, left=1e3 * frame.began_s,
                color=_colour(frame.kind), edgecolor=PAPER, linewidth=0.5,
            )  # fmt: skip
            if frame.seconds >= _TEXT_SHARE * whole_s:
                room = int(110 * frame.seconds / whole_s)  # characters that fit
                axes.text(
                    1e3 * (frame.began_s + 0.003 * whole_s), frame.level, frame.name[:room],
                    va="center", fontsize=6, color=PAPER if frame.kind else INK, clip_on=True,
                )  # fmt: skip
        dress(axes, self.title, "ms of a call under the profiler")
        axes.grid(visible=False)
        axes.set_yticks([])
        axes.set_ylim(-0.6, self._levels - 0.4)

    def _by_kind(self) -> Iterator[tuple[str, list[Frame]]]:
        for kind in ("", *KINDS):
            frames = [frame for frame in self.frames if frame.kind == kind]
            if frames:
                yield kind, frames


def flame(title: str, rows: Iterable[ProfileRow]) -> Flame:
    """The rows of a profile as frames: call, phase, the parts of the module's path, operator."""
    whole = _Part("call")
    for row in rows:
        path = [(name, "") for name in (row.phase, *_INNER.split(row.module)) if name]
        path.append((row.op, kind_of(row.op, row.phase)))
        part = whole
        _add(part, row)
        for name, kind in path:
            part = part.parts.setdefault((name, kind), _Part(name, kind))
            _add(part, row)
    return Flame(title, tuple(_frames(whole, 0, 0.0, whole.seconds)))


def _add(part: _Part, row: ProfileRow) -> None:
    part.seconds += row.self_s
    part.flops += row.flops or 0


def _frames(part: _Part, level: int, began_s: float, whole_s: float) -> Iterator[Frame]:
    yield Frame(part.name, part.kind, level, began_s, part.seconds, _text(part, whole_s))
    at_s = began_s
    for inner in sorted(part.parts.values(), key=lambda each: -each.seconds):
        if inner.seconds >= _LEAST_SHARE * whole_s:
            yield from _frames(inner, level + 1, at_s, whole_s)
        at_s += inner.seconds


def _text(part: _Part, whole_s: float) -> str:
    share = part.seconds / whole_s if whole_s else 0.0
    lines = [f"<b>{escaped(part.name)}</b>", f"{plain(1e3 * part.seconds)} ms, {share:.1%}"]
    if part.flops and part.seconds:
        rate = part.flops / part.seconds / 1e9
        lines.append(f"{plain(part.flops / 1e9)} GFLOP, {plain(rate)} GFLOP/s")
    return "<br>".join(lines)


def _colour(kind: str) -> str:
    return KIND_STYLES[kind].colour if kind else GRID
