"""How every table and page spells the parts of a record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from honed.record import Record
from honed.show.numbers import NONE
from honed.values import as_typed

_STYLES = {"ok": "green", "unproven": "yellow", "interrupted": "yellow"}


def status(name: str, text: str = "") -> Text:
    """Green for ok, yellow where the result is not proven or not complete, red for the rest."""
    return Text(text or name, style=_STYLES.get(name, "red"))


def word(value: Any) -> str:
    """The value as one types it; a dash where it is unset."""
    return NONE if value is None else as_typed(value)


def cosine(value: float | None) -> str:
    """Rounded down, so that 1.00000 stands only for equal outputs."""
    return NONE if value is None else f"{math.floor(value * 1e5 + 1e-6) / 1e5:.5f}"


def machine_name(record: Record) -> str:
    """The processor and its effective CPUs, which decide the machine's speed."""
    machine = record.machine
    cpus = effective_cpus(machine) or (machine.get("topology") or {}).get("cpus")
    return f"{machine.get('cpu', 'unknown machine')}{f' ({cpus} CPUs)' if cpus else ''}"


def effective_cpus(machine: Mapping[str, Any]) -> int | None:
    """How many CPUs of the machine were effective when the record was made."""
    limits = machine.get("limits") or {}
    count = limits.get("effective_cpus") or machine.get("effective_cpus")
    return count if isinstance(count, int) else None
