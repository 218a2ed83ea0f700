"""The whole study: every section is a question, and one experiment answers them in turns."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honed.case import Case
from honed.errors import HonedError, UsageError
from honed.experiment.blocks import PairedBlocks
from honed.experiment.draw import Experiment, Failure
from honed.experiment.policy import SCALE
from honed.experiment.turns import AllDecided, Terms, UntilDecided, take_turns
from honed.machine import limits, placement, topology
from honed.phase import Phase
from honed.run.lab import Lab
from honed.scale.findings import Finding, SectionQuestion, find
from honed.scale.sections import Section, sections
from honed.statistics.paired import Question

_LEAST_BLOCKS = 4  # from four on there is an interval


@dataclass(frozen=True, slots=True)
class ScaleProgress:
    """How far the study is; `label` names the section and the setting that is being measured."""

    block: int
    label: str
    left_s: float


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    """The time for the study, and the least difference that matters (0.02 is 2 %)."""

    budget_s: float
    resolution: float
    on_progress: Callable[[ScaleProgress], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Scaling:
    """The findings, and the sweep under which the store keeps their records."""

    sweep: str
    findings: tuple[Finding, ...]


def study(cases: Sequence[Case], options: ScaleOptions, lab: Lab) -> Scaling:
    """Findings for one Case, or HonedError when its plainest setting does not run."""
    if len(cases) != 1:
        raise UsageError("honed scale sweeps by itself", "give one value for each key")
    (place,) = placement.place(topology.read(), limits.read(), placement.PlacementRequest())
    return answer(sections(cases[0], len(place.cpus)), options, lab)


def answer(asked: Sequence[Section], options: ScaleOptions, lab: Lab) -> Scaling:
    """Measure blocks of every undecided setting until all are decided, or the next two blocks
    would end after the budget, but at least four.

    A Case that two sections share is measured once per block. A setting that fails is not measured
    again, and its finding says why.
    """
    blocks, questions = _questions(asked, options.resolution)
    began_s = lab.clock_s()

    def on_phase(side: str, phase: Phase | None) -> None:
        if phase is Phase.STARTING:
            left_s = max(0.0, options.budget_s - (lab.clock_s() - began_s))
            options.on_progress(ScaleProgress(len(blocks.blocks) + 1, side, left_s))

    def on_failure(failure: Failure) -> None:
        if failure.side == next(iter(blocks.cases)) and not blocks.blocks:
            message = f"the plainest setting is {failure.status}: {failure.message}"
            raise HonedError(message, failure.hint)

    experiment = Experiment(lab, secrets.token_hex(4), policy=SCALE, on_phase=on_phase)
    terms = Terms(began_s + options.budget_s, _LEAST_BLOCKS, seed=0, on_failure=on_failure)
    take_turns(experiment, blocks, AllDecided([q.rule for q in questions]), terms)
    findings = tuple(find(question, blocks, options.resolution) for question in questions)
    return Scaling(experiment.sweep, findings)


def _questions(
    asked: Sequence[Section], resolution: float
) -> tuple[PairedBlocks, list[SectionQuestion]]:
    """Each section as a question, and the Cases of all of them; a side is named for the first
    section that has its Case."""
    names: dict[Case, str] = {}
    questions = []
    for section in asked:
        sides = {}
        for setting in section.settings:
            case = SCALE.short(setting.case)
            sides[setting.label] = names.setdefault(case, f"{section.title}: {setting.label}")
        first, *others = sides.values()
        rule = UntilDecided(Question(math.log1p(resolution)), first, others, metric=section.metric)
        questions.append(SectionQuestion(section, sides, rule))
    return PairedBlocks({name: case for case, name in names.items()}), questions
