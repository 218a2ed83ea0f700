"""What a terminal shows of tables and texts."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def shown(what: RenderableType | None, width: int = 120) -> str:
    """The text on a terminal without colours of so many columns."""
    assert what is not None
    file = io.StringIO()
    Console(width=width, color_system=None, file=file).print(what)
    return file.getvalue()


def in_one_line(what: RenderableType | None, width: int = 120) -> str:
    """The same with one space between any two words."""
    return " ".join(shown(what, width).split())
