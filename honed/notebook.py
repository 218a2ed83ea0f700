"""What notebooks ask of honed's data: HTML to show, and a frame to compute with.

The classes of the vocabulary inherit this. The renderers lie in the room `show`, above the
vocabulary, and are loaded by their name when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import Any


class Notebook:
    """An object that a notebook shows as a table, and that becomes a frame."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(importlib.import_module("honed.show.html").html(self))

    def to_frame(self) -> Any:
        """A pandas.DataFrame, or a pyarrow.Table where only pyarrow is installed.

        NotInstalledError if neither is installed.
        """
        return importlib.import_module("honed.show.frame").frame(self)
