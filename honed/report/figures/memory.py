"""Memory by kind: the process at its peak, while loading, the tensors alone, the weights."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from honed.measures import MEASURES
from honed.report.evidence import Evidence, Point, pool, shown
from honed.report.figures._settings import SettingRow, Shape, shapes
from honed.report.figures.base import Picture, titled
from honed.report.findings import reference
from honed.report.panels.bars import Bar, Bars, Row
from honed.report.style import Style
from honed.show.numbers import plain

ORDER = 60
_MOST_ROWS = 9  # each has a bar for every kind
# The measures that a reader asks for, in this order; one that no record has is left out.
_KINDS = {
    "process at its peak": "rss_peak",
    "of it, shared with files": "rss_file_peak",
    "process while loading": "load_peak",
    "tensors at their peak": "tensor_peak",
    "weights": "weights",
    "device, allocated": "allocated_peak",
    "device, reserved": "reserved_peak",
    "all instances together": "pss_total",
}


def pictures(evidence: Evidence) -> Iterator[Picture]:
    for shape in shapes(evidence, least=1, most_rows=_MOST_ROWS):
        rows = tuple(Row(row.label, bars) for row in shape.rows if (bars := _bars(row)))
        if not rows:
            continue
        yield Picture(
            titled("Memory by kind", shape.where),
            _sentence(evidence, shape),
            (Bars("MiB of the largest instance", rows, "MiB"),),
            shape.records,
            ("Resident memory, engine and interpreter included, from a separate pass.",
             *shape.notes),
        )  # fmt: skip


def _bars(setting: SettingRow) -> tuple[Bar, ...]:
    several = any((r.case.get("instances") or 1) > 1 for r in setting.records)
    return tuple(
        Bar(kind, Style(hue), point)
        for hue, (kind, name) in enumerate(_KINDS.items())
        if (several or name != "pss_total") and (point := _size(setting, name)) is not None
    )


def _size(setting: SettingRow, name: str) -> Point | None:
    return pool(setting.records, shown(MEASURES[name]))


def _sentence(evidence: Evidence, shape: Shape) -> str:
    peaks = {
        row.label: point.value
        for row in shape.rows
        if (point := _size(row, "rss_peak")) is not None and point.ok
    }
    if not peaks:
        return "The peak of the process is not known."
    least = min(peaks, key=lambda label: peaks[label])
    size = _mib(peaks[least])
    if len(peaks) == 1:
        return f"The process needs {size} at its peak."
    default = reference(evidence, {row.label: row.records for row in shape.rows})
    if default not in peaks or default == least:
        middle = _mib(median(peaks.values()))
        return (
            f"{least} needs the least at its peak, {size}; the median of all settings is {middle}."
        )
    share = peaks[least] / peaks[default]
    if share > 0.99:
        return f"All need about the same at their peak, {size} or more."
    return (
        f"{least} needs the least at its peak, {size}: {plain(share, 2)} times the "
        f"{_mib(peaks[default])} of {default}."
    )


def _mib(size: float) -> str:
    return f"{size:,.1f} MiB" if size < 10 else f"{size:,.0f} MiB"
