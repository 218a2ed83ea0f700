"""The page: one HTML file that needs no network, for large and small screens, paper and the dark.

The pictures come from `figures/`, the markup from the templates in this folder, which escape every
value that they insert. style.css holds the page's look, page.js its behaviour.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from honed.errors import UnsupportedError
from honed.report.evidence import Evidence
from honed.report.figures.base import Picture, all_pictures
from honed.report.page import contents
from honed.report.style import DARK
from honed.show.rows import Extra, rows

if TYPE_CHECKING:
    from jinja2 import Environment


def page(evidence: Evidence, extra: Extra | None = None) -> str:
    """The whole file."""
    extra = extra or Extra()
    library = templates()
    pictures = list(all_pictures(evidence))
    return library.get_template("page.html.j2").render(
        title=contents.title(evidence), heading=contents.heading(evidence),
        records=evidence.records, pictures=pictures, notes=extra.notes,
        status_counts=contents.status_counts(evidence),
        table=rows(evidence.records, extra=extra.columns), failures=contents.failures(evidence),
        doubts=contents.doubts(evidence), machines=contents.machines(evidence),
        **parts_of(pictures),
    )  # fmt: skip


def parts_of(pictures: list[tuple[str, Picture]]) -> dict[str, Any]:
    """What every page needs: the data of its pictures, the look, and the scripts."""
    return {"data": _data(pictures), "style": _file("style.css"),
            "plotly": _plotly() if pictures else "", "script": _file("page.js")}  # fmt: skip


@cache
def templates() -> Environment:
    """The templates in this folder; every value that they insert is escaped."""
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise UnsupportedError(
            "the page needs jinja2, which is not installed", "pip install 'honed[pictures]'"
        ) from error
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _data(pictures: list[tuple[str, Picture]]) -> dict[str, Any]:
    """All that page.js draws. The template is the same in every figure and is stored once."""
    data: dict[str, Any] = {"dark": DARK, "template": {}, "pictures": []}
    for name, picture in pictures:
        styles = [style for _, style in picture.legend()]
        signs = [{"colour": s.colour, "symbol": s.symbol(), "dash": s.dash} for s in styles]
        panels = [panel.plotly().to_plotly_json() for panel in picture.all_panels()]
        for panel in panels:
            data["template"] = panel["layout"].pop("template")
        data["pictures"].append({"name": name, "signs": signs, "panels": panels})
    return data


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    code: str = get_plotlyjs()
    return code


def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")
