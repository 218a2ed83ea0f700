"""Latency against throughput: which settings give more of one only for less of the other."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from honed.record import Record
from honed.report.browser import escaped
from honed.report.evidence import Evidence, Point, latency, pool, throughput
from honed.report.figures._along import paint
from honed.report.figures.base import Picture, titled
from honed.report.panels.base import value_text
from honed.report.panels.cloud import Cloud, Dot, Group, Trail
from honed.report.study import front
from honed.report.style import Style
from honed.show.numbers import plain
from honed.show.rows import SUBJECT

ORDER = 45
_FEWEST = 3
_LINE = Style(6, 0)


@dataclass(frozen=True, slots=True)
class Setting:
    """`family`: its engine and precision, by which it is coloured."""

    label: str
    family: str
    style: Style
    calls: Point
    rate: Point

    @property
    def ok(self) -> bool:
        return self.calls.ok and self.rate.ok


def pictures(evidence: Evidence) -> Iterator[Picture]:
    """For each question; of several lengths the shortest and the longest that have the most."""
    goals = {g.name for g in evidence.study.goals} if evidence.study else set()
    if {"latency", "throughput"} <= goals:
        return  # the study's own front
    for subject, records in evidence.subjects():
        for where, rows in _lengths(evidence, records):
            found = _settings(evidence, rows)
            able = [s for s in found if s.ok]
            if len(able) < _FEWEST:
                continue
            values = [(s.calls.value, s.rate.value) for s in able]
            best = [able[i] for i in front(values, (operator.lt, operator.gt))]
            yield Picture(
                titled("Latency against throughput", ", ".join(filter(None, [subject, where]))),
                _sentence(able, best),
                (_panel(found, best),),
                tuple(rows),
                ("The line joins the settings that no other one beats in both medians.",),
            )


def _lengths(evidence: Evidence, records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Only where the number of sequences at once differs: both say the same otherwise."""
    told = evidence.varying(records, ("sequence_length",))
    by_length = sorted(records, key=lambda r: int(r.case.get("sequence_length") or 0))
    groups = [
        (evidence.label(rows[0], told) if told else "", rows)
        for _, rows in evidence.groups(by_length, ("sequence_length",))
        if len({_at_once(r) for r in rows}) > 1
    ]
    most = max((len(rows) for _, rows in groups), default=0)
    fullest = [group for group in groups if len(group[1]) == most]
    return fullest if len(fullest) < 3 else [fullest[0], fullest[-1]]


def _at_once(record: Record) -> int:
    case = record.case
    return int(case.get("total_batch") or case["batch_size"] * (case.get("instances") or 1))


def _settings(evidence: Evidence, rows: Sequence[Record]) -> list[Setting]:
    groups = evidence.groups(rows, evidence.varying(rows, without=SUBJECT))
    families = [evidence.label(own[0], ("backend", "precision")) for _, own in groups]
    styles = paint(evidence, [own[0] for _, own in groups], apart=False)
    found = []
    for (label, own), family, style in zip(groups, families, styles, strict=True):
        calls, rate = pool(own, latency), pool(own, throughput)
        if calls is not None and rate is not None:
            found.append(Setting(label, family, style, calls, rate))
    return found


def _panel(found: Sequence[Setting], best: Sequence[Setting]) -> Cloud:
    families: dict[str, list[Setting]] = {}
    for setting in found:
        families.setdefault(setting.family, []).append(setting)
    groups = tuple(
        Group(family, own[0].style, tuple(map(_dot, own))) for family, own in families.items()
    )
    line = tuple(sorted((s.calls.value * 1e3, s.rate.value) for s in best))
    trails = (Trail("front", _LINE, line, steps=False),) if len(line) > 1 else ()
    return Cloud("Throughput, sequences/s", "latency, ms a call", groups, trails)


def _dot(of: Setting) -> Dot:
    ids = ", ".join(r.id[:8] for r in of.calls.records[:4])
    lines = [
        f"<b>{escaped(of.label)}</b>",
        value_text(of.calls, 1e3, "ms"),
        value_text(of.rate, 1.0, "/s"),
        f"record {ids}",
    ]
    return Dot(of.calls.value * 1e3, of.rate.value, "<br>".join(lines), not of.ok)


def _sentence(able: Sequence[Setting], best: Sequence[Setting]) -> str:
    ordered = sorted(best, key=lambda s: s.calls.value)
    if len(best) == 1:
        return f"{_told(best[0])} beats the other {len(able) - 1} in both."
    return (
        f"{len(best)} of {len(able)} settings are beaten by none in both: from "
        f"{_told(ordered[0])} to {_told(ordered[-1])}."
    )


def _told(of: Setting) -> str:
    return f"{plain(of.calls.value * 1e3)} ms at {plain(of.rate.value)}/s ({of.label})"
