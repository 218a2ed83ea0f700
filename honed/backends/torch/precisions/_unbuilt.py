"""What precisions have in common that every machine computes, made where they run: no artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.case import Case


def check(_: Case) -> None:
    """Every machine has it; without instructions for it, it is slow, and right."""


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    return None


def build(_: LoadRequest, __: Path) -> None:
    """Nothing to build: quantising takes no longer than loading a quantised model."""
