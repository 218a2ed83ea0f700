"""Latency against throughput: settings that give more of one only for less of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from honed.measures import MEASURES
from honed.record import Record
from honed.report.browser import escaped
from honed.report.evidence import Evidence, Point, latency, pool, short_unit, throughput
from honed.report.figures._along import paint
from honed.report.figures.base import Picture, titled
from honed.report.panels.base import value_text
from honed.report.panels.cloud import Cloud, Dot, Group, Trail
from honed.report.style import Style
from honed.show.numbers import plain
from honed.show.rows import SUBJECT
from honed.study import pareto_front

ORDER = 45
_FEWEST = 3
_LINE = Style(6, 0)
_LATENCY, _THROUGHPUT = MEASURES["latency"], MEASURES["throughput"]


@dataclass(frozen=True, slots=True)
class _Setting:
    """`family`: its engine and precision, which decide its colour."""

    label: str
    family: str
    style: Style
    latency: Point
    throughput: Point

    @property
    def ok(self) -> bool:
        return self.latency.ok and self.throughput.ok

    @property
    def text(self) -> str:
        return f"{plain(self.latency.value)} ms at {plain(self.throughput.value)}/s ({self.label})"


def pictures(evidence: Evidence) -> Iterator[Picture]:
    """For each question; of more than two lengths with the most records the shortest and the
    longest."""
    goals = {g.name for g in evidence.study.goals} if evidence.study else set()
    if {"latency", "throughput"} <= goals:
        return  # the study's front is drawn instead
    for subject, measured in evidence.subjects():
        for where, records in _lengths(evidence, measured):
            settings = _settings(evidence, records)
            able = [s for s in settings if s.ok]
            if len(able) < _FEWEST:
                continue
            best = pareto_front([
                (_LATENCY.cost(s.latency.value), _THROUGHPUT.cost(s.throughput.value))
                for s in able
            ])  # fmt: skip
            unbeaten = [able[i] for i in best]
            yield Picture(
                titled("Latency against throughput", ", ".join(filter(None, [subject, where]))),
                _sentence(able, unbeaten),
                (_panel(settings, unbeaten),),
                tuple(records),
                ("The line joins the settings that no other setting beats in both medians.",),
            )


def _lengths(evidence: Evidence, records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Only where the number of sequences at once differs: otherwise throughput is 1 over
    latency."""
    differing = evidence.varying(records, ("sequence_length",))
    by_length = sorted(records, key=lambda r: int(r.case.get("sequence_length") or 0))
    groups = [
        (evidence.label(same[0], differing) if differing else "", same)
        for _, same in evidence.groups(by_length, ("sequence_length",))
        if len({_at_once(r) for r in same}) > 1
    ]
    most = max((len(same) for _, same in groups), default=0)
    fullest = [group for group in groups if len(group[1]) == most]
    return fullest if len(fullest) < 3 else [fullest[0], fullest[-1]]


def _at_once(record: Record) -> int:
    case = record.case
    return int(case.get("total_batch") or case["batch_size"] * (case.get("instances") or 1))


def _settings(evidence: Evidence, records: Sequence[Record]) -> list[_Setting]:
    groups = evidence.groups(records, evidence.varying(records, without=SUBJECT))
    styles = paint(evidence, [same[0] for _, same in groups], apart=False)
    settings = []
    for (label, same), style in zip(groups, styles, strict=True):
        family = evidence.label(same[0], ("backend", "precision"))
        times, rates = pool(same, latency), pool(same, throughput)
        if times is not None and rates is not None:
            settings.append(_Setting(label, family, style, times, rates))
    return settings


def _panel(settings: Sequence[_Setting], unbeaten: Sequence[_Setting]) -> Cloud:
    families: dict[str, list[_Setting]] = {}
    for setting in settings:
        families.setdefault(setting.family, []).append(setting)
    groups = tuple(Group(f, same[0].style, tuple(map(_dot, same))) for f, same in families.items())
    line = tuple(sorted((s.latency.value, s.throughput.value) for s in unbeaten))
    trails = (Trail("front", _LINE, line, steps=False),) if len(line) > 1 else ()
    return Cloud(_THROUGHPUT.axis, _LATENCY.axis, groups, trails)


def _dot(setting: _Setting) -> Dot:
    ids = ", ".join(r.id[:8] for r in setting.latency.records[:4])
    lines = [
        f"<b>{escaped(setting.label)}</b>",
        value_text(setting.latency, _LATENCY.shown_unit),
        value_text(setting.throughput, short_unit(_THROUGHPUT)),
        f"record {ids}",
    ]
    return Dot(setting.latency.value, setting.throughput.value, "<br>".join(lines), not setting.ok)


def _sentence(able: Sequence[_Setting], unbeaten: Sequence[_Setting]) -> str:
    ordered = sorted(unbeaten, key=lambda s: s.latency.value)
    if len(ordered) == 1:
        return f"{ordered[0].text} beats the other {len(able) - 1} in both."
    return (
        f"{len(ordered)} of {len(able)} settings are beaten by no other in both: from "
        f"{ordered[0].text} to {ordered[-1].text}."
    )
