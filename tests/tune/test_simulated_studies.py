"""A hundred studies of simulated machines: what they recommend, and whether their steps are true.

Processes differ by 5 % and the machine drifts. Most knobs do nothing, some gain or cost; sometimes
an engine or a precision does nothing either.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import pytest
from landscape import DIMENSIONS, ENGINES, Landscape, MemoryStudy, find, question, space

from honed.case import Case
from honed.knob import Value
from honed.machine import limits, topology
from honed.phase import OnPhase, ignore_phase
from honed.record import Record
from honed.study import IN_TURNS, Outcome, PathStep, Setting

NOISE = 0.05
FLAT = 0.7  # the share of values that do nothing


@dataclass
class Truth:
    """The logarithms of what each engine, precision and value of a knob gain."""

    seed: int
    gains: dict[tuple[str, Value], float] = field(default_factory=dict)
    phase: float = 0.0

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.phase = rng.uniform(0.0, 2 * math.pi)
        self.gains = {("backend", "torch"): 0.0, ("precision", "fp32"): 0.0}
        for engine in ("openvino", "onnxruntime"):
            self.gains["backend", engine] = rng.choice([0.0, rng.uniform(0.1, 0.5)])
        for precision in ("bf16", "int8"):
            gain = rng.uniform(0.4, 1.2) if rng.random() < 0.8 else 0.0
            self.gains["precision", precision] = gain
        for dimension in DIMENSIONS:
            for value in dimension.values:
                if value is not None:
                    is_flat = rng.random() < FLAT
                    gain = 0.0 if is_flat else rng.uniform(-0.3, 0.3)
                    self.gains[dimension.key, value] = gain

    def gain(self, values: Mapping[str, Value]) -> float:
        """Of a setting, over the default."""
        return sum(self.gains[item] for item in values.items())

    def latency_s(self, case: Case, now_s: float) -> float:
        values = {k: v for k in ("backend", "precision", "threads") if (v := case.get(k))}
        drift = 0.05 * math.sin(self.phase + now_s / 60)
        return 0.1 * math.exp(drift - self.gain({**values, **case.knobs}))


class Drifting(Landscape):
    """Slow settings have long processes."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(lambda case: truth.latency_s(case, self.now_s))
        self.truth, self.noise = truth, NOISE
        self.export_s = {"openvino": 8.0, "onnxruntime": 5.0}
        self.seed(truth.seed)

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        self.cost_s = 2.5 + 25 * self.truth.latency_s(case, self.now_s)
        return super().measure(case, sweep, on_phase)


@dataclass(frozen=True)
class Study:
    truth: Truth
    outcome: Outcome
    used_s: float
    budget_s: float

    @property
    def point(self) -> Setting:
        assert self.outcome.point is not None
        return self.outcome.point

    @property
    def flat(self) -> list[str]:
        """The recommended keys that gain nothing. An engine whose knob gains is needed for it."""
        changed = {k: v for k, v in self.point.items() if DEFAULT.get(k) != v}
        owners = {k.partition(".")[0] for k in changed if "." in k}
        flat = [k for k, v in changed.items() if self.truth.gains[k, v] <= 0]
        return [k for k in flat if k != "backend" or self.point["backend"] not in owners]

    @property
    def product(self) -> float:
        return math.prod(s.gain.value or math.nan for s in self.outcome.steps)


DEFAULT = Setting({"backend": "torch", "precision": "fp32"})


@pytest.fixture(scope="module", params=[("3m", 100), ("10m", 20)], ids=lambda p: p[0])
def studies(request: pytest.FixtureRequest) -> Iterator[list[Study]]:
    """The machine is read once: where instances may sit does not change meanwhile."""
    budget, count = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topology, "read", cache(topology.read))
        patch.setattr(limits, "read", cache(limits.read))
        yield [studied(seed, budget) for seed in range(count)]


def studied(seed: int, budget: str) -> Study:
    of = question("objective=latency", f"budget={budget}", "sampler=random", f"seed={seed}")
    lab = Drifting(Truth(seed))
    outcome = find(MemoryStudy(of, space(of)), lab)
    assert of.budget_s is not None
    return Study(lab.truth, outcome, lab.now_s, of.budget_s)


def test_at_most_two_of_a_hundred_recommend_what_gains_nothing(studies: list[Study]) -> None:
    carrying = {s.truth.seed: s.flat for s in studies if s.flat}
    assert len(carrying) <= 2, carrying


def test_every_step_has_a_value_and_their_product_is_the_gain(studies: list[Study]) -> None:
    for study in studies:
        assert all(s.gain.value for s in study.outcome.steps)
        assert study.product == pytest.approx(study.outcome.gain.value, rel=1e-9)
        keys = [key for s in study.outcome.steps for key in s.key.split("+")]
        assert sorted(keys) == sorted(k for k, v in study.point.items() if DEFAULT.get(k) != v)


def test_the_product_is_within_ten_percent_of_the_truth(studies: list[Study]) -> None:
    near = [abs(math.log(s.product) - s.truth.gain(s.point)) < math.log(1.1) for s in studies]
    assert sum(near) >= 0.9 * len(studies)


def test_the_intervals_of_the_steps_hold_the_truth(studies: list[Study]) -> None:
    held = [holds(s.truth, step) for s in studies for step in s.outcome.steps]
    known = [h for h in held if h is not None]
    assert len(known) > len(studies)
    assert sum(known) >= 0.9 * len(known)


def holds(truth: Truth, step: PathStep) -> bool | None:
    """Whether the step's interval holds its true gain; None without an interval."""
    if step.gain.ci95 is None:
        return None
    keys, values = step.key.split("+"), str(step.value).split("+")
    by_text = {(k, str(v)): gain for (k, v), gain in truth.gains.items()}
    true = math.exp(sum(by_text[pair] for pair in zip(keys, values, strict=True)))
    return step.gain.ci95[0] <= true <= step.gain.ci95[1]


def test_steps_are_measured_in_turns(studies: list[Study]) -> None:
    sources = [step.source for s in studies for step in s.outcome.steps]
    assert sources.count(IN_TURNS) >= 0.9 * len(sources)


def test_most_of_what_can_be_gained_is_found(studies: list[Study]) -> None:
    """The engine and the precision always; a knob where its gain can be proven in the time."""
    shares = [s.truth.gain(s.point) / best(s.truth) for s in studies if best(s.truth) > 0.3]
    assert len(shares) > len(studies) / 2
    assert sorted(shares)[len(shares) // 2] > 0.75


def best(truth: Truth) -> float:
    """The largest gain of an engine with a precision and all of its knobs."""
    gains = []
    for branch in ENGINES:
        knobs = {
            d.key: max(0.0, *(truth.gains[d.key, v] for v in d.values if v is not None))
            for d in DIMENSIONS
            if "." not in d.key or d.key.startswith(branch.backend)
        }
        gains.append(truth.gain(branch.setting) + sum(knobs.values()))
    return max(gains)


def test_no_study_takes_longer_than_its_budget(studies: list[Study]) -> None:
    assert max(s.used_s / s.budget_s for s in studies) <= 1.0
