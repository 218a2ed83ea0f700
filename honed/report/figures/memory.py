"""Memory by kind: the process at its peak, while loading, the tensors alone, the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

from honed.record import Memory, Record
from honed.report.evidence import Evidence, Point, pool
from honed.report.figures._settings import Setting, Shape, shapes
from honed.report.figures.base import Picture, titled
from honed.report.findings import reference
from honed.report.panels.bars import Bar, Bars, Row
from honed.report.style import Style
from honed.show.numbers import mib, plain

ORDER = 60
_MIB = 2**20
_MOST_ROWS = 9  # each has a bar for every kind
# What a reader asks for, in this order; a kind that no record has is left out.
_KINDS = {
    "process at its peak": "rss_peak_bytes",
    "of it, shared with files": "rss_file_peak_bytes",
    "process while loading": "load_peak_bytes",
    "tensors at their peak": "tensor_peak_bytes",
    "weights": "weights_bytes",
    "device, allocated": "allocated_peak_bytes",
    "device, reserved": "reserved_peak_bytes",
}
_ALL = {"all instances together": "pss_total_bytes"}


def pictures(evidence: Evidence) -> Iterator[Picture]:
    for shape in shapes(evidence, least=1, most_rows=_MOST_ROWS):
        rows = tuple(Row(s.label, bars) for s in shape.settings if (bars := _bars(s)))
        if not rows:
            continue
        yield Picture(
            titled("Memory by kind", shape.where),
            _sentence(evidence, shape),
            (Bars("MiB of the largest instance", rows, "MiB", 1 / _MIB),),
            shape.records,
            ("Resident memory, engine and interpreter included, from a pass of its own.",
             *shape.notes),
        )  # fmt: skip


def _bars(setting: Setting) -> tuple[Bar, ...]:
    several = any((r.case.get("instances") or 1) > 1 for r in setting.records)
    kinds = _KINDS | (_ALL if several else {})
    order = [*_KINDS, *_ALL]
    return tuple(
        Bar(kind, Style(order.index(kind)), point)
        for kind, name in kinds.items()
        if (point := _bytes(setting, name)) is not None
    )


def _bytes(setting: Setting, name: str) -> Point | None:
    return pool(setting.records, _reading(name))


def _reading(name: str) -> Callable[[Record], tuple[float, None] | None]:
    def read(record: Record) -> tuple[float, None] | None:
        size = getattr(record.memory or Memory(), name)
        return None if size is None else (float(size), None)

    return read


def _sentence(evidence: Evidence, shape: Shape) -> str:
    peaks = {
        s.label: point.value
        for s in shape.settings
        if (point := _bytes(s, "rss_peak_bytes")) is not None and point.ok
    }
    if not peaks:
        return "The peak of the process is not known."
    least = min(peaks, key=lambda label: peaks[label])
    if len(peaks) == 1:
        return f"The process needs {mib(round(peaks[least]))} MiB at its peak."
    said = f"{least} needs the least at its peak, {mib(round(peaks[least]))} MiB"
    against = reference(evidence, {s.label: s.records for s in shape.settings})
    if against in peaks and against != least:
        share = peaks[least] / peaks[against]
        if share > 0.99:
            return (
                f"All need about the same at their peak, {mib(round(peaks[least]))} MiB or more."
            )
        return f"{said}: {plain(share, 2)} times the {mib(round(peaks[against]))} of {against}."
    middle = median(peaks.values())
    return f"{said}; the middle of all settings is {mib(round(middle))}."
