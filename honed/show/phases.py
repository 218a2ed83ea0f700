"""The phases of calls (forward, backward, optimizer, the whole step): one line for each record and
phase, with mean and standard deviation as papers report them beside the median."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from honed.record import Latency, Record
from honed.show.columns import settings_column
from honed.show.numbers import NONE, measured, plain

HEADINGS = ("settings", "phase", "mean ms", "stdev ms", "p50 ms (95 %)", "calls")
LEFT = (True, True, False, False, False, False)


def phase_lines(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """The cells of each line, under HEADINGS; empty where no record has phases."""
    settings = settings_column(records)
    return [
        (settings.read(record), name, *_cells(latency), str(record.metrics.samples))
        for record in records
        if record.metrics is not None
        for name, latency in (record.metrics.phases or {}).items()
    ]


def _cells(latency: Latency) -> tuple[str, str, str]:
    deviation = NONE if latency.stdev is None else plain(latency.stdev * 1e3)
    return plain(latency.mean * 1e3, 4), deviation, measured(latency.p50, latency.ci95, 1e3)


def phase_table(records: Sequence[Record]) -> Table | None:
    """The lines as a table for terminals; None where no record has phases."""
    lines = phase_lines(records)
    if not lines:
        return None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, left in zip(HEADINGS, LEFT, strict=True):
        table.add_column(heading, justify="left" if left else "right", no_wrap=not left)
    previous = ""
    for settings, *cells in lines:
        table.add_row("" if settings == previous else settings, *cells)
        previous = settings
    table.title = Text("phases of a call", "bold")
    table.title_justify = "left"
    return table
