"""The way from the default to the recommendation, one setting at a time, with the gain of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.report.evidence import Evidence
from honed.report.figures.base import Picture, titled
from honed.report.findings import listed
from honed.report.panels.waterfall import Factor, Waterfall
from honed.study import IN_TURNS, PathStep, StudyFacts

ORDER = 2


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or study.best is None or not study.steps or study.gain.value is None:
        return
    steps = tuple(
        Factor(s.name, s.gain, "" if s.source == IN_TURNS else s.source) for s in study.steps
    )
    whole = Factor("all steps", study.gain)
    notes = [
        "Each setting is added to those above it; the product of the steps is the whole gain. "
        "Whiskers: the 95 % interval of each step, and of the whole."
    ]
    if any(s.source != IN_TURNS for s in study.steps):
        notes.append("By one trial each: there was no time to measure these in turns.")
    sides = [side for side in (study.default, study.best) if side is not None]
    yield Picture(
        titled("The steps to the recommendation", study.name),
        _sentence(study),
        (Waterfall("Times better than the default", steps, whole),),
        evidence.stored(id for side in sides for id in side.records)
        or study.drawn(evidence.records),
        tuple(notes),
        marked=False,
    )  # fmt: skip


def _sentence(study: StudyFacts) -> str:
    gains = [f"{s.name} {s.gain.value:.2f} times" for s in study.steps]
    sentence = (
        f"Step by step: {listed(gains, most=6)}; together {study.gain.value:.2f} times better."
    )
    if left_out := _left_out(study.outcome.dropped if study.outcome else ()):
        sentence += f" Not recommended, since no gain was proven: {left_out}."
    return sentence


def _left_out(dropped: Sequence[PathStep]) -> str:
    return listed([s.name for s in dropped])
