"""Memory over a step as a page: stacked by kind, a panel for each timeline, two in a row.

`honed plan --timeline` draws predictions, `honed memory --timeline` measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

_IN_A_ROW = 2
_ROW_PX, _TOP_PX, _BOTTOM_PX, _BETWEEN_PX = 500, 60, 90, 110
_POINTS = 6000  # of all panels; more make the page slow
_LEAST_POINTS = 400  # of one panel


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
    """Write the page. UsageError without a timeline, StoreError where it cannot be written."""
    if not drawn:
        raise UsageError("there is no timeline to draw", "estimates by formulas have none")
    page = _figure(drawn).to_html(
        include_plotlyjs=True, full_html=True, config={"displayModeBar": False, "responsive": True}
    )
    give(path, page, "--timeline FILE")


def _figure(drawn: Sequence[Titled]) -> Any:
    objects()  # the error with the command that installs plotly
    from plotly.subplots import make_subplots

    columns = min(_IN_A_ROW, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    plot_px = rows * _ROW_PX
    figure = make_subplots(
        rows=rows, cols=columns, shared_yaxes=True, horizontal_spacing=0.03,
        vertical_spacing=_BETWEEN_PX / plot_px,
        subplot_titles=[f"{escaped(each.name)}<br>{escaped(each.settings)}" for each in drawn],
    )  # fmt: skip
    figure.update_annotations(font={"size": 12})
    in_legend: set[str] = set()
    most_points = max(_LEAST_POINTS, _POINTS // len(drawn))
    for index, each in enumerate(drawn):
        at = {"row": index // columns + 1, "col": index % columns + 1}
        for trace in traces(each.timeline, most_points):
            if trace.legendgroup is not None:
                trace.showlegend = trace.name not in in_legend
                in_legend.add(trace.name)
            figure.add_trace(trace, **at)
        _phases(figure, each.timeline, at)
    figure.update_layout(
        template=template(), height=plot_px + _TOP_PX + _BOTTOM_PX, showlegend=True,
        legend={"orientation": "h", "y": (15 - _BOTTOM_PX) / plot_px, "yanchor": "bottom",
                "traceorder": "normal"},
        margin={"t": _TOP_PX, "b": _BOTTOM_PX}, hovermode="x unified",
    )  # fmt: skip
    figure.update_xaxes(title_text=X_TITLE, fixedrange=False)
    highest = max(peak_bytes(each.timeline) for each in drawn)
    figure.update_yaxes(range=[0, top_mib(highest)], tickformat=",")
    figure.update_yaxes(title_text="MiB requested", col=1)
    return figure


def _phases(figure: Any, timeline: Timeline, at: Mapping[str, int]) -> None:
    for begin, name in phases(timeline):
        figure.add_vline(begin, line={"color": GRID, "width": 1}, **at)
        figure.add_annotation(
            x=begin, y=1.0, yref="y domain", text=name, textangle=-90, xanchor="left",
            yanchor="top", showarrow=False, font={"size": 10, "color": MUTED}, **at,
        )  # fmt: skip
