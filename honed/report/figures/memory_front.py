"""Throughput against the peak of the tensors: what a setting that needs less memory costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from honed.measures import MEASURES
from honed.record import Record
from honed.report.browser import escaped
from honed.report.evidence import Evidence, Point, pool, short_unit, shown
from honed.report.figures._along import MOST_LINES, paint
from honed.report.figures.base import Picture, titled
from honed.report.panels.base import value_text
from honed.report.panels.cloud import Cloud, Dot, Group, Trail
from honed.report.style import Style
from honed.show.numbers import plain
from honed.show.rows import SUBJECT

ORDER = 62
# The largest over the smallest peak at one batch size from which on the picture says something.
# int8 weights alone take a quarter of the bytes.
_WORTH = 8.0
_MEMORY, _THROUGHPUT = MEASURES["tensor_peak"], MEASURES["throughput"]


@dataclass(frozen=True, slots=True)
class _Setting:
    """One way to run the model, at one batch size."""

    label: str
    batch: int
    memory: Point
    throughput: Point

    @property
    def ok(self) -> bool:
        return self.memory.ok and self.throughput.ok


def pictures(evidence: Evidence) -> Iterator[Picture]:
    """For each question and length in which the peaks differ much."""
    for subject, measured in evidence.subjects():
        differing = evidence.varying(measured, ("sequence_length",))
        for label, records in evidence.groups(measured, ("sequence_length",)):
            lines = _lines(evidence, records)
            settings = [setting for line in lines.values() for setting in line]
            if not _differ_much(settings) or len(lines) > MOST_LINES:
                continue
            where = label if differing else ""
            yield Picture(
                titled("Throughput against memory", ", ".join(filter(None, [subject, where]))),
                _sentence([s for s in settings if s.ok]),
                (_panel(evidence, lines),),
                tuple(records),
                ("Memory: weights that stay in the process, inputs, and the most tensors alive in "
                 "a call, by the engine's allocator. Pages of mapped files are not in it. A line "
                 "joins the batch sizes of a setting.",),
            )  # fmt: skip


def _differ_much(settings: Sequence[_Setting]) -> bool:
    """Whether the peaks at one batch size are far apart; a larger batch always needs more."""
    by_batch: dict[int, list[float]] = {}
    for setting in settings:
        if setting.ok:
            by_batch.setdefault(setting.batch, []).append(setting.memory.value)
    return any(max(peaks) >= _WORTH * min(peaks) for peaks in by_batch.values())


def _lines(evidence: Evidence, records: Sequence[Record]) -> dict[str, list[_Setting]]:
    """The settings by what distinguishes them beside the batch size, the smallest batch first."""
    keys = evidence.varying(records, without=(*SUBJECT, "sequence_length", "batch_size"))
    lines: dict[str, list[_Setting]] = {}
    for label, same in evidence.groups(records, keys):
        by_batch: dict[int, list[Record]] = {}
        for record in same:
            by_batch.setdefault(int(record.case["batch_size"]), []).append(record)
        for batch, group in sorted(by_batch.items()):
            peak, rate = pool(group, shown(_MEMORY)), pool(group, shown(_THROUGHPUT))
            if peak is not None and rate is not None:
                lines.setdefault(label, []).append(_Setting(label, batch, peak, rate))
    return lines


def _panel(evidence: Evidence, lines: dict[str, list[_Setting]]) -> Cloud:
    firsts = [line[0].memory.records[0] for line in lines.values()]
    styles = paint(evidence, firsts, apart=True)
    groups, trails = [], []
    for (label, line), style in zip(lines.items(), styles, strict=True):
        groups.append(Group(label, style, tuple(map(_dot, line))))
        points = tuple((s.memory.value, s.throughput.value) for s in line)
        if len(points) > 1:
            trails.append(Trail(label, Style(style.hue), points, steps=False))
    return Cloud(_THROUGHPUT.axis, _MEMORY.axis, tuple(groups), tuple(trails))


def _dot(setting: _Setting) -> Dot:
    lines = [
        f"<b>{escaped(setting.label)}</b>, batch {setting.batch}",
        value_text(setting.memory, _MEMORY.shown_unit),
        value_text(setting.throughput, short_unit(_THROUGHPUT)),
    ]
    return Dot(setting.memory.value, setting.throughput.value, "<br>".join(lines), not setting.ok)


def _sentence(settings: Sequence[_Setting]) -> str:
    least = min(settings, key=lambda s: s.memory.value)
    rivals = [s for s in settings if s.batch == least.batch and s is not least]
    start = (
        f"{least.label} needs the least, {plain(least.memory.value)} MiB at batch {least.batch}"
    )
    if not rivals:
        return f"{start}."
    fastest = max(rivals, key=lambda s: s.throughput.value)
    memory = fastest.memory.value / least.memory.value
    kept = least.throughput.value / fastest.throughput.value
    return (
        f"{start}: {plain(memory, 2)} times less than {fastest.label}, at {kept:.0%} of its "
        "throughput."
    )
