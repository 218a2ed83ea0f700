"""The browser's half of the look: one Plotly template, and the labels that several panels share.

Plotly is imported inside the functions, so that only making a report loads it.
"""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Any

from honed.errors import UnsupportedError
from honed.report.style import GRID, INK, MUTED, PAPER, SCALE

LABEL_PX = 19  # height of the line of text above a row


def objects() -> Any:
    """plotly.graph_objects, or an error with the command that installs it."""
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise UnsupportedError(
            "the page's pictures need plotly, which is not installed",
            "pip install 'honed[pictures]'",
        ) from error
    return graph_objects


@cache
def template() -> Any:
    """Fonts, colours, axes and marks of all figures. The page stores it once, for all of them."""
    go = objects()
    axis_title = {"font": {"size": 12, "color": MUTED}}
    # An empty title keeps the same room below every axis.
    axis = {
        "gridcolor": GRID, "linecolor": MUTED, "showline": True, "zeroline": False,
        "automargin": True, "fixedrange": True, "tickfont": {"size": 12},
        "title": {**axis_title, "text": "", "standoff": 6},
    }  # fmt: skip
    axis_in_space = {
        "gridcolor": GRID, "linecolor": MUTED, "showline": True, "zerolinecolor": GRID,
        "color": INK, "showbackground": False, "showspikes": False, "tickfont": {"size": 11},
        "title": axis_title,
    }  # fmt: skip
    whiskers = {"type": "data", "symmetric": False, "thickness": 1.2}
    colours = [[i / (len(SCALE) - 1), light] for i, (light, _) in enumerate(SCALE)]
    return go.layout.Template(
        layout={
            "margin": {"l": 8, "r": 14, "t": 8, "b": 40},
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
            "hoverlabel": {"align": "left"},
            "showlegend": False,
            "dragmode": False,  # a finger on a figure scrolls the page
            "barmode": "overlay",
            "xaxis": axis,
            "yaxis": axis,
            "scene": {"xaxis": axis_in_space, "yaxis": axis_in_space, "zaxis": axis_in_space},
            "annotationdefaults": {
                "showarrow": False, "borderpad": 0, "font": {"size": 12, "color": INK},
            },
        },
        data={
            "scatter": [{
                "hoverinfo": "text", "line": {"width": 2}, "error_x": whiskers,
                "error_y": {**whiskers, "width": 4},
                "marker": {"size": 9, "opacity": 1, "line": {"width": 2}},
            }],
            "bar": [{
                "orientation": "h", "hoverinfo": "text",
                "error_x": {**whiskers, "width": 3, "color": INK},
            }],
            "heatmap": [{
                "zmin": 0, "zmax": 1, "xgap": 2, "ygap": 2, "colorscale": colours,
                "showscale": False, "hoverinfo": "text", "hoverongaps": False,
            }],
            "surface": [{
                "cmin": 0, "cmax": 1, "colorscale": colours, "showscale": False,
                "hoverinfo": "skip",
                "lighting": {"ambient": 0.85, "diffuse": 0.3, "specular": 0.05},
            }],
            "scatter3d": [{"mode": "markers", "marker": {"size": 4, "color": INK},
                           "hoverinfo": "text"}],
        },
    )  # fmt: skip


def figure(traces: list[Any], height: int, **layout: Any) -> Any:
    """A figure of `traces` in the report's look; `layout` is what differs from the template."""
    return objects().Figure(traces, {"template": template(), "height": height, **layout})


def marks(colour: str, symbol: Any) -> dict[str, Any]:
    """A scatter trace's marker: symbols filled and outlined in one colour."""
    return {"color": colour, "symbol": symbol, "line": {"color": colour}}


def row_labels(top: float, left: str, right: str = "") -> list[dict[str, Any]]:
    """The line of text above a row: its name at the left, its value at the right."""
    line = {"xref": "paper", "y": top + 1, "yanchor": "top"}
    labels = [line | {"x": 0, "xanchor": "left", "text": escaped(left)}]
    if right:
        labels.append(line | {"x": 1, "xanchor": "right", "text": escaped(right)})
    return labels


def rows_axis(height: float) -> dict[str, Any]:
    """The invisible vertical axis of a panel with rows: pixels, from the top down."""
    return {"range": [height, 0], "visible": False}


def escaped(text: str) -> str:
    """Text for Plotly, which reads a few HTML tags in its labels."""
    return escape(text, quote=False)
