"""Memory over a step as a page: stacked by kind, one panel for each timeline, side by side.

`honed plan --timeline` draws predictions, `honed memory --timeline` measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import UsageError
from honed.files import give
from honed.plan.prediction import Prediction
from honed.report.browser import escaped, objects, template
from honed.report.panels.timeline import X_TITLE, peak_bytes, phases, top_mib, traces
from honed.report.style import GRID, MUTED
from honed.show.plan import settings_words
from honed.timeline import Timeline

MOST_PANELS = 4


@dataclass(frozen=True, slots=True)
class Titled:
    """A timeline and the two lines above it."""

    name: str
    settings: str
    timeline: Timeline


def predicted(predictions: Sequence[Prediction]) -> list[Titled]:
    """The timelines of predictions; estimates by formulas have none."""
    return [
        Titled(
            f"{p.model} {p.settings.batch_size}x{p.settings.sequence_length}",
            " ".join(settings_words(p.settings)), p.timeline,
        )
        for p in predictions
        if p.timeline is not None
    ]  # fmt: skip


def write(drawn: Sequence[Titled], path: Path) -> None:
    """Write the page. UsageError without a timeline, or with more than fit side by side."""
    if not drawn:
        raise UsageError("there is no timeline to draw", "estimates by formulas have none")
    if len(drawn) > MOST_PANELS:
        raise UsageError(
            f"{len(drawn)} timelines do not fit side by side",
            f"ask for {MOST_PANELS} settings or fewer",
        )
    figure = _figure(drawn)
    page = figure.to_html(
        include_plotlyjs=True, full_html=True, config={"displayModeBar": False, "responsive": True}
    )
    give(path, page, "--timeline FILE")


def _figure(drawn: Sequence[Titled]) -> Any:
    from plotly.subplots import make_subplots

    objects()  # the error with the command that installs plotly
    figure = make_subplots(
        rows=1, cols=len(drawn), shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=[f"{escaped(each.name)}<br>{escaped(each.settings)}" for each in drawn],
    )  # fmt: skip
    figure.update_annotations(font={"size": 12})
    in_legend: set[str] = set()
    for column, each in enumerate(drawn, 1):
        for trace in traces(each.timeline):
            if trace.legendgroup is not None:
                trace.showlegend = trace.name not in in_legend
                in_legend.add(trace.name)
            figure.add_trace(trace, row=1, col=column)
        _phases(figure, each.timeline, column)
    figure.update_layout(
        template=template(), height=620, showlegend=True, hovermode="x unified",
        legend={"orientation": "h", "y": -0.12, "traceorder": "normal"}, margin={"t": 60, "b": 90},
    )  # fmt: skip
    figure.update_xaxes(title_text=X_TITLE, fixedrange=False)
    highest = max(peak_bytes(each.timeline) for each in drawn)
    figure.update_yaxes(range=[0, top_mib(highest)], tickformat=",")
    figure.update_yaxes(title_text="MiB requested", col=1)
    return figure


def _phases(figure: Any, timeline: Timeline, column: int) -> None:
    for begin, name in phases(timeline):
        figure.add_vline(begin, line={"color": GRID, "width": 1}, row=1, col=column)
        figure.add_annotation(
            x=begin, y=1.0, yref="y domain" if column == 1 else f"y{column} domain",
            text=name, textangle=-90, xanchor="left", yanchor="top", showarrow=False,
            font={"size": 10, "color": MUTED}, row=1, col=column,
        )  # fmt: skip
