"""Memory over a step as a page: stacked by kind, one panel for each timeline, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from honed.errors import UsageError
from honed.plan.prediction import Prediction
from honed.report.browser import escaped, objects, template
from honed.report.style import GRID, INK, MUTED, SERIES
from honed.show.numbers import mib
from honed.show.plan import settings_words
from honed.timeline import Block, MemoryKind, Timeline

MOST_PANELS = 4
_MOST_POINTS = 3000  # in one panel; more cannot be told apart on a screen
_MIB = 2**20
_HUES = (0, 1, 2, 3, 4, 6)  # 5 is too near to 0
_COLOURS = {kind: SERIES[hue][0] for hue, kind in zip(_HUES, MemoryKind, strict=True)}


def write(predictions: Sequence[Prediction], path: Path) -> None:
    """Write the page. UsageError without a timeline, or with more than fit side by side."""
    drawn = [(p, p.timeline) for p in predictions if p.timeline is not None]
    if not drawn:
        raise UsageError("there is no timeline to draw", "estimates by formulas have none")
    if len(drawn) > MOST_PANELS:
        raise UsageError(
            f"{len(drawn)} timelines do not fit side by side",
            f"ask for {MOST_PANELS} settings or fewer",
        )
    figure = _figure([(_title(p), timeline) for p, timeline in drawn])
    path.parent.mkdir(parents=True, exist_ok=True)
    page = figure.to_html(
        include_plotlyjs=True, full_html=True, config={"displayModeBar": False, "responsive": True}
    )
    path.write_text(page, "utf-8")


def _title(found: Prediction) -> str:
    shape = f"{found.settings.batch_size}x{found.settings.sequence_length}"
    return f"{escaped(found.model)} {shape}<br>{' '.join(settings_words(found.settings))}"


def _figure(timelines: Sequence[tuple[str, Timeline]]) -> Any:
    from plotly.subplots import make_subplots

    objects()  # the error with the command that installs plotly
    figure = make_subplots(
        rows=1, cols=len(timelines), shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=[title for title, _ in timelines],
    )  # fmt: skip
    figure.update_annotations(font={"size": 12})
    for column, (_, timeline) in enumerate(timelines, 1):
        _draw(figure, timeline, column)
    figure.update_layout(
        template=template(), height=620, showlegend=True, hovermode="x unified",
        legend={"orientation": "h", "y": -0.12, "traceorder": "normal"}, margin={"t": 60, "b": 90},
    )  # fmt: skip
    figure.update_xaxes(title_text="allocations and releases, in their order", fixedrange=False)
    highest = max(max(timeline.alive_bytes(), default=0) for _, timeline in timelines) / _MIB
    figure.update_yaxes(range=[0, 1.15 * highest], tickformat=",")  # names of phases are on top
    figure.update_yaxes(title_text="MiB requested", col=1)
    return figure


def _draw(figure: Any, timeline: Timeline, column: int) -> None:
    go = objects()
    ticks = _chosen(timeline)
    newest = _newest(timeline)
    for kind in MemoryKind:
        alive = timeline.alive_bytes(kind)
        if not any(alive):
            continue
        figure.add_trace(
            go.Scatter(
                x=ticks, y=[alive[tick] / _MIB for tick in ticks], name=str(kind),
                stackgroup="kinds", mode="lines", legendgroup=str(kind),
                showlegend=column == 1 or not _is_drawn(figure, kind),
                line={"width": 0.5, "color": _COLOURS[kind], "shape": "hv"},
                hoverinfo="x+text+name",
                text=[f"{mib(alive[tick])} MiB" for tick in ticks],
            ),
            row=1, col=column,
        )  # fmt: skip
    total = timeline.alive_bytes()
    figure.add_trace(
        go.Scatter(
            x=ticks, y=[total[tick] / _MIB for tick in ticks], name="all", mode="lines",
            line={"width": 1, "color": INK, "shape": "hv"}, showlegend=False,
            hoverinfo="x+text+name",
            text=[_hover(total[tick], newest[tick]) for tick in ticks],
        ),
        row=1, col=column,
    )  # fmt: skip
    _phases(figure, timeline, column)


def _phases(figure: Any, timeline: Timeline, column: int) -> None:
    for span in timeline.spans:
        if span.end == span.begin:
            continue
        figure.add_vline(span.begin, line={"color": GRID, "width": 1}, row=1, col=column)
        figure.add_annotation(
            x=span.begin, y=1.0, yref="y domain" if column == 1 else f"y{column} domain",
            text=str(span.phase), textangle=-90, xanchor="left", yanchor="top", showarrow=False,
            font={"size": 10, "color": MUTED}, row=1, col=column,
        )  # fmt: skip


def _chosen(timeline: Timeline) -> list[int]:
    """At most `_MOST_POINTS` ticks: of each stretch, the one at which most is alive."""
    total = timeline.alive_bytes()
    width = -(-len(total) // _MOST_POINTS) or 1
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


def _is_drawn(figure: Any, kind: MemoryKind) -> bool:
    return any(trace.name == str(kind) for trace in figure.data)
