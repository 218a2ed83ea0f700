"""Confirmation: what a confirmation knows while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from honed.experiment import policy
from honed.experiment.blocks import PairedBlocks
from honed.experiment.draw import Experiment, Metric
from honed.experiment.turns import Rule, Terms, take_turns
from honed.study import Setting
from honed.tune.context import StudyContext

DEFAULT, WINNER, SIMPLER, PLAIN = "default", "winner", "simpler", "plain"


@dataclass(slots=True)
class Confirmation:
    """`settings` are the sides measured in turns, by the names that `blocks` knows them by.

    `until_s` is when turns must end, on the Lab's clock. `proof` are the blocks from which the
    gain is taken.
    """

    context: StudyContext
    until_s: float
    settings: dict[str, Setting] = field(default_factory=dict)
    blocks: PairedBlocks = field(default_factory=PairedBlocks)
    proof: slice = field(default_factory=lambda: slice(0, 0))

    @property
    def left_s(self) -> float:
        return self.until_s - self.context.lab.clock_s()

    @property
    def default(self) -> Setting:
        return self.context.space.default

    @property
    def metric(self) -> Metric:
        return self.context.question.metric or "latency"

    def side_of(self, setting: Setting, new: str = WINNER) -> str:
        """The side that has this setting; `new` if there is none yet."""
        return next((side for side, s in self.settings.items() if s == setting), new)

    def process_s(self, setting: Setting) -> float:
        """The time that a process of the setting takes: in turns, which have no memory pass; by
        its trials where it has not been measured in turns."""
        sides = [side for side, s in self.settings.items() if s == setting]
        in_turns_s = self.blocks.elapsed_s(*sides)
        return self.context.process_s(setting) if in_turns_s is None else in_turns_s

    def without(self, setting: Setting, *keys: str) -> Setting:
        """The setting with these keys as the default has them. An engine that goes takes its knobs
        with it."""
        defaults = {k: self.default[k] for k in keys if k in self.default}
        return self.context.space.normal({**setting.without(*keys), **defaults})

    def enter(self, sides: Mapping[str, Setting], lengths: policy.Policy) -> None:
        """Name the settings that will be measured in turns, with processes of these lengths."""
        self.settings |= sides
        space = self.context.space
        self.blocks.cases |= {k: lengths.short(space.case(s)) for k, s in sides.items()}

    def take_turns(self, blocks: PairedBlocks, rule: Rule, until_s: float) -> None:
        """Measure until the rule or the time ends; a side that fails is left out."""
        study = self.context.study
        experiment = Experiment(self.context.lab, study.name, self.metric)
        terms = Terms(until_s, breaks_off=True, seed=study.question.seed)
        take_turns(experiment, blocks, rule, terms)
