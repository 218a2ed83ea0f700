"""What every precision file offers: how the module comes to compute in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from honed.backends.base import LoadRequest
from honed.case import Case


class Precision(Protocol):
    """The names that a precision file defines. Its name is the Case's word, and the kind."""

    MODES: tuple[str, ...]  # that can run it
    DEVICES: tuple[str, ...]

    def check(self, case: Case) -> None:
        """Raise UnsupportedError where this machine or these settings cannot."""

    def artifact(self, request: LoadRequest) -> Mapping[str, Any] | None:
        """What decides the quantised artifact's content; None where there is none."""

    def build(self, request: LoadRequest, folder: Path) -> None:
        """Quantise into `folder`."""

    def module(self, request: LoadRequest, folder: Path | None) -> Any:
        """The module in this precision, on its device."""
