"""Confirmation: what a confirmation knows while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from honed.experiment import policy
from honed.experiment.blocks import PairedBlocks
from honed.experiment.draw import Experiment, Metric
from honed.experiment.turns import Rule, Terms, take_turns
from honed.study import Setting, candidates
from honed.tune.context import StudyContext
from honed.tune.steps import Known, trial_costs

DEFAULT, WINNER, SIMPLER, PLAIN = "default", "winner", "simpler", "plain"


@dataclass(slots=True)
class Confirmation:
    """`settings` are the sides measured in turns, by the names that `blocks` knows them by.

    `until_s` is when turns must end, on the Lab's clock.
    """

    context: StudyContext
    until_s: float
    settings: dict[str, Setting] = field(default_factory=dict)
    blocks: PairedBlocks = field(default_factory=PairedBlocks)

    @property
    def left_s(self) -> float:
        return self.until_s - self.context.lab.clock_s()

    @property
    def default(self) -> Setting:
        return self.context.space.default

    @property
    def metric(self) -> Metric:
        return self.context.question.metric or "latency"

    @property
    def failed(self) -> set[Setting]:
        """The settings that failed in turns."""
        return {self.settings[side] for side in self.blocks.failed}

    def path_side(self, setting: Setting) -> str:
        """The name of a setting of the path. It had another name in the race: whoever wins a race
        was also lucky in it, so that its processes there do not count for the gain."""
        return DEFAULT if setting == self.default else setting.name

    def known(self) -> Known:
        """What the blocks of the path and the trials tell so far. The trials of the default are
        believed even where it failed in turns: there is no other default."""
        question, trials = self.context.question, self.context.study.trials()
        sides = {s: side for side, s in self.settings.items() if side == self.path_side(s)}
        failed = self.failed - {self.default}
        costs = {
            s: cost for s, cost in trial_costs(question, candidates(trials)).items()
            if s not in failed
        }  # fmt: skip
        return Known(self.blocks.effects(), sides, costs, bool(question.metric))

    def process_s(self, setting: Setting, *, with_export: bool = False) -> float:
        """The time that a process of the setting takes: in turns, which have no memory pass; by
        trials where it has not been measured in turns."""
        sides = [side for side, s in self.settings.items() if s == setting]
        in_turns_s = self.blocks.elapsed_s(*sides)
        if in_turns_s is not None:
            return in_turns_s
        return self.context.process_s(setting, with_export=with_export)

    def without(self, setting: Setting, *keys: str) -> Setting:
        """The setting with these keys as the default has them. An engine that goes takes its knobs
        with it."""
        defaults = {k: self.default[k] for k in keys if k in self.default}
        return self.context.space.normal({**setting.without(*keys), **defaults})

    def keeps_limits(self, setting: Setting, side: str) -> bool:
        """Whether a setting keeps every limit, as far as is known. The calls of all its processes
        in turns support the 99th percentile, which a short trial can only bound from below."""
        ranked = candidates(self.context.study.trials())
        trials = next((c for c in ranked if c.setting == setting), None)
        if trials is not None and not trials.feasible:
            return False
        limits = [b for b in self.context.question.bounds if b.name == "latency_p99_ms"]
        pooled = self.blocks.pooled(side) if limits else None
        if pooled is None or pooled.latency_p99_s is None:
            return True
        p99_ms = pooled.latency_p99_s * 1e3
        return all(limit.missed_by(p99_ms) <= 0 for limit in limits)

    def enter(self, sides: Mapping[str, Setting], lengths: policy.Policy) -> None:
        """Name the settings that will be measured in turns, with processes of these lengths."""
        self.settings |= sides
        space = self.context.space
        self.blocks.cases |= {k: lengths.short(space.case(s)) for k, s in sides.items()}

    def take_turns(self, rule: Rule, until_s: float) -> None:
        """Measure until the rule or the time ends; a side that fails is left out."""
        study = self.context.study
        experiment = Experiment(self.context.lab, study.name, self.metric)
        terms = Terms(until_s, breaks_off=True, seed=study.question.seed)
        take_turns(experiment, self.blocks, rule, terms)
