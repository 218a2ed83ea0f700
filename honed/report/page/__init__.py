"""The page: one HTML file that needs no network, for screens large and small, print and the dark.

What is in it comes from `figures/`; its looks are in style.css, what moves in page.js.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

from honed.report.evidence import Evidence
from honed.report.figures.base import Picture, all_pictures
from honed.report.page import sections
from honed.report.page.table import table
from honed.report.style import DARK
from honed.show.columns import Column


@dataclass(frozen=True, slots=True)
class Extra:
    """What other rooms add: columns beside the measures, and sentences for the top."""

    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()


def page(evidence: Evidence, extra: Extra | None = None) -> str:
    """The whole file."""
    extra = extra or Extra()
    found = list(all_pictures(evidence))
    body = [
        sections.head(evidence),
        "<main>",
        sections.in_short(evidence, found, extra.notes),
        *(_picture(name, picture) for name, picture in found),
        table(evidence, extra.columns),
        sections.doubts(evidence),
        sections.machines(evidence),
        "</main>",
        sections.foot(evidence),
    ]
    return _TEMPLATE.format(
        title=escape(sections.title(evidence)),
        style=_file("style.css"),
        body="\n".join(filter(None, body)),
        data=_json({"dark": DARK, "pictures": [_drawn(*item) for item in found]}),
        plotly=_plotly() if found else "",
        script=_file("page.js"),
    )


def _picture(name: str, picture: Picture) -> str:
    """A heading, the finding, a legend that switches lines, the panels, the small print."""
    legend = "".join(
        f'<li><button type="button" aria-pressed="true" data-label="{escape(label)}">'
        f'<svg class="sign" aria-hidden="true" data-index="{index}"></svg>{escape(label)}'
        "</button></li>"
        for index, (label, _) in enumerate(picture.legend())
    )
    flat, solid = len(picture.panels), ' class="solid"'
    panels = "".join(
        f"<figure{solid if index >= flat else ''}><figcaption>{escape(panel.title)}</figcaption>"
        f'<div class="plot" role="img" '
        f'aria-label="{escape(f"{panel.title}. {picture.sentence}")}" '
        f'id="{name}--{index}"></div></figure>'
        for index, panel in enumerate((*picture.panels, *picture.solids))
    )
    return (
        f'<section class="picture" id="{name}"><h2>{escape(picture.title)}</h2>'
        f'<p class="finding">{escape(picture.sentence)}</p>'
        + (f'<ul class="legend">{legend}</ul>' if legend else "")
        + f'<div class="panels">{panels}</div>'
        f'<p class="small">{escape(" ".join(picture.all_notes()))}</p>'
        f"{sections.record_list(picture.record_ids())}</section>"
    )


def _drawn(name: str, picture: Picture) -> dict[str, Any]:
    signs = [
        {"colour": style.colour, "symbol": style.symbol(), "dash": style.dash}
        for _, style in picture.legend()
    ]
    panels = [p.plotly() for p in (*picture.panels, *picture.solids)]
    return {"name": name, "signs": signs, "panels": panels}


def _plotly() -> str:
    from honed.errors import UnsupportedError

    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UnsupportedError(
            "the page's pictures need plotly, which is not installed",
            "pip install 'honed[pictures]'",
        ) from error
    code: str = get_plotlyjs()
    return code


def _json(value: Any) -> str:
    """Safe inside a script element: no end tag can appear in it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{data}</script>
<script>{plotly}</script>
<script>{script}</script>
</body>
</html>
"""
