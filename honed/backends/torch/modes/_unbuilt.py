"""What modes have in common that are made in the worker, from the module, and keep no artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.case import Case
from honed.knob import AVAILABLE, Availability


def available() -> Availability:
    return AVAILABLE


def check(_: Case) -> None:
    """It takes everything; what cannot be traced says so itself."""


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    return None


def build(_: LoadRequest, __: Any, ___: Path) -> None:
    """Nothing to build: tracing takes no longer than loading a trace."""
