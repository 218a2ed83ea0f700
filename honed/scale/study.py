"""The whole study: every section is a question, and one experiment answers them in turns."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from honed.case import Case
from honed.errors import HonedError, UsageError
from honed.experiment.blocks import PairedBlocks
from honed.experiment.draw import Experiment, Failure
from honed.experiment.policy import SCALE
from honed.experiment.turns import AllDecided, Terms, UntilDecided, take_turns
from honed.machine import limits, placement, topology
from honed.phase import Phase
from honed.run.lab import Lab
from honed.scale.findings import Finding, SectionQuestion, find, unaffordable
from honed.scale.sections import Section, sections
from honed.statistics.paired import Question

_LEAST_BLOCKS = 4  # from four on there is an interval
# Processes of later sections may be slower than those of the first, which give the estimate.
_SLOWER = 1.15


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
    """The findings, and the sweep under which the store keeps their records.

    A section for which the budget was too small has a finding that says so.
    """

    sweep: str
    findings: tuple[Finding, ...]


class ScaleInterrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of a study; carries what was found so far."""

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.scaling = scaling


def study(cases: Sequence[Case], options: ScaleOptions, lab: Lab) -> Scaling:
    """Findings for one Case, or HonedError when its plainest setting does not run."""
    if len(cases) != 1:
        raise UsageError("honed scale sweeps by itself", "give one value for each key")
    (place,) = placement.place(topology.read(), limits.read(), placement.PlacementRequest())
    return answer(sections(cases[0], len(place.cpus)), options, lab)


def answer(asked: Sequence[Section], options: ScaleOptions, lab: Lab) -> Scaling:
    """Measure blocks of every undecided setting until all are decided, or the next two blocks
    would end after the budget, but at least four of the first section.

    The first two blocks are of the first section alone. They tell what a process costs, and so
    which of the other sections the budget allows. A Case that two sections share is measured once
    per block. A setting that fails is not measured again, and its finding says why. Raises
    ScaleInterrupted on Ctrl-C.
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
    rule = _Affordable(questions, lambda: terms.until_s - lab.clock_s())

    def found() -> Scaling:
        findings = (
            unaffordable(question.section, options.budget_s)
            if question in rule.left_out
            else find(question, blocks, options.resolution)
            for question in questions
        )
        return Scaling(experiment.sweep, tuple(findings))

    try:
        take_turns(experiment, blocks, rule, terms)
    except KeyboardInterrupt:
        rule.sides(blocks)  # judges the last blocks, too
        raise ScaleInterrupted(found()) from None
    return found()


@dataclass(slots=True)
class _Affordable:
    """All sections until they are decided, as far as the budget allows the later ones."""

    questions: Sequence[SectionQuestion]
    left_s: Callable[[], float]
    left_out: list[SectionQuestion] = field(default_factory=list)
    blocks_per_look: ClassVar[int] = 2

    def sides(self, blocks: PairedBlocks) -> Sequence[str]:
        first, *others = self.questions
        if not blocks.blocks:
            return first.rule.sides(blocks)
        if len(blocks.blocks) == self.blocks_per_look:
            self.left_out = self._beyond_budget(others, blocks)
        asked = [q.rule for q in self.questions if q not in self.left_out]
        return AllDecided(asked).sides(blocks)

    def _beyond_budget(
        self, others: Sequence[SectionQuestion], blocks: PairedBlocks
    ) -> list[SectionQuestion]:
        """The sections whose least blocks would end after the budget; an early one goes first."""
        sides = set(self.questions[0].sides.values())
        seconds = [d.record.elapsed_s or 0.0 for d in blocks.draws(*sides)]
        process_s = _SLOWER * float(np.median(seconds)) if seconds else 0.0
        left_s, left_out = self.left_s(), list[SectionQuestion]()
        for question in others:
            together = sides | set(question.sides.values())
            if together == sides or _LEAST_BLOCKS * len(together) * process_s <= left_s:
                sides = together
            else:
                left_out.append(question)
        return left_out


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
