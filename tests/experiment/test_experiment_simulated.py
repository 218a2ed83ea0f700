"""UntilDecided on simulated processes: how often it is wrong, and how soon it is right."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from fake_lab import FakeLab
from hypothesis import given
from hypothesis import strategies as st
from records import make_record

from honed.case import Case
from honed.experiment.blocks import PairedBlocks
from honed.experiment.draw import Draw, Experiment, Process
from honed.experiment.turns import Terms, UntilDecided, mirrored, take_turns
from honed.statistics.paired import Judgement, Question

Noise = Callable[[np.random.Generator], Callable[[], float]]
RESOLUTION = math.log(1.02)
SIMULATIONS = 1000


RECORD = make_record()


class Simulated(Experiment):
    """Processes of which only the logarithm of their time is computed."""

    def __init__(self, log_time: Callable[[str], float]) -> None:
        super().__init__(FakeLab(), "simulated")
        self.log_time = log_time

    def draw(self, side: str, case: Case, block: int, until_s: float = math.inf) -> Draw:
        self.processes.append(Process(side, block, RECORD, 1.0, True))
        return Draw(1.0, self.log_time(side), RECORD)


@dataclass
class Limited(UntilDecided):
    """Ends after some blocks, however the question stands."""

    most_blocks: int = 40

    def sides(self, blocks: PairedBlocks) -> Sequence[str]:
        sides = super().sides(blocks)
        return sides if len(blocks.blocks) < self.most_blocks else []


@dataclass(frozen=True)
class Answer:
    judgements: Mapping[str, Judgement]
    blocks: PairedBlocks
    order: Sequence[Process]

    @property
    def trials(self) -> int:
        return len(self.order)


def simulated(
    log_time: Callable[[str], float],
    others: Sequence[str] = ("B",),
    resolution: float = RESOLUTION,
    most_blocks: int = 40,
    seed: int = 1,
) -> Answer:
    rule = Limited(Question(resolution), "A", others, most_blocks=most_blocks)
    experiment = Simulated(log_time)
    blocks = PairedBlocks({side: Case("tiny") for side in ("A", *others)})
    take_turns(experiment, blocks, rule, Terms(seed=seed))
    return Answer(rule.judgements, blocks, experiment.processes)


def normal(sd: float) -> Noise:
    return lambda rng: lambda: float(sd * rng.standard_normal())


def heavy(sd: float) -> Noise:
    """Now and then a process that something else held up."""
    return lambda rng: lambda: float(sd * rng.standard_t(3) / math.sqrt(3))


def two_modes(sd: float) -> Noise:
    """Lucky and unlucky memory layouts, as real processes have."""
    return lambda rng: lambda: float(sd * (rng.choice([-1, 1]) + 0.3 * rng.standard_normal()))


def remembering(sd: float) -> Noise:
    """Each process resembles the one before it."""

    def start(rng: np.random.Generator) -> Callable[[], float]:
        state = [0.0]

        def draw() -> float:
            state[0] = 0.6 * state[0] + 0.8 * sd * float(rng.standard_normal())
            return state[0]

        return draw

    return start


def drifting(sd: float) -> Noise:
    """The machine slows down by a fifth over sixty processes."""

    def start(rng: np.random.Generator) -> Callable[[], float]:
        clock = itertools.count()
        return lambda: 0.2 / 60 * next(clock) + sd * float(rng.standard_normal())

    return start


def verdicts(noise: Noise, effects: dict[str, float], blocks: int = 40) -> list[Answer]:
    found, log_times = [], {"A": 0.0, **effects}
    for seed in range(SIMULATIONS):
        luck = noise(np.random.default_rng(seed))
        found.append(
            simulated(lambda s: log_times[s] + luck(), tuple(effects), RESOLUTION, blocks, seed)  # noqa: B023
        )
    return found


def share(found: list[Answer], *kinds: str) -> float:
    """In how many of the comparisons any side has one of these verdicts."""
    return sum(any(j.kind in kinds for j in a.judgements.values()) for a in found) / len(found)


@pytest.mark.parametrize("noise", [normal, heavy, two_modes, remembering, drifting])
@pytest.mark.parametrize("sd", [0.015, 0.04])
def test_a_against_a_is_rarely_told_apart(noise: Callable[[float], Noise], sd: float) -> None:
    assert share(verdicts(noise(sd), {"B": 0.0}), "faster", "slower") <= 0.05


def test_three_percent_are_found_and_soon() -> None:
    found = verdicts(normal(0.015), {"B": math.log(1.03)})
    assert share(found, "slower") >= 0.95
    assert share(found, "faster", "tie") <= 0.01
    assert np.median([s.trials for s in found]) <= 24
    assert np.quantile([s.trials for s in found], 0.9) <= 40


def test_a_large_difference_needs_few_trials() -> None:
    found = verdicts(normal(0.015), {"B": -0.5})
    assert share(found, "faster") == 1
    assert np.mean([s.trials for s in found]) <= 12


def test_a_tie_is_found_and_is_rarely_wrong() -> None:
    assert share(verdicts(normal(0.01), {"B": 0.0}), "tie") >= 0.95
    at_the_edge = verdicts(normal(0.01), {"B": RESOLUTION * 1.001})
    assert share(at_the_edge, "tie") <= 0.05


def test_several_sides_share_the_five_percent() -> None:
    alike = {"B": 0.0, "C": 0.0, "D": 0.0}
    assert share(verdicts(normal(0.03), alike, blocks=20), "faster", "slower") <= 0.05


@given(st.integers(2, 6), st.integers())
def test_each_side_is_as_early_as_it_is_late(count: int, seed: int) -> None:
    sides = [chr(65 + i) for i in range(count)]
    there, back = mirrored(sides, random.Random(seed))
    assert sorted(there) == sides
    assert back == there[::-1]
    places = {s: there.index(s) + count + back.index(s) for s in sides}
    assert len(set(places.values())) == 1


def test_every_order_comes_up() -> None:
    rng = random.Random(0)
    seen = Counter("".join(mirrored("ABC", rng)[0]) for _ in range(600))
    assert len(seen) == 6
    assert min(seen.values()) > 60


def test_a_trend_of_the_machine_cancels() -> None:
    clock = itertools.count()
    found = simulated(lambda _: 0.01 * next(clock), resolution=1e-9, most_blocks=12)
    assert sum(found.blocks.differences("B", "A")) == pytest.approx(0, abs=1e-12)


def test_blocks_are_numbered_and_hold_every_side_once() -> None:
    rng = random.Random(5)
    found = simulated(lambda _: rng.gauss(0, 1), ("B", "C"), 1e-9, most_blocks=8)
    drawn = [(process.side, process.block) for process in found.order]
    assert Counter(drawn) == Counter(itertools.product("ABC", range(8)))
    assert [block for _, block in drawn] == sorted(block for _, block in drawn)
    assert [set(block) for block in found.blocks.blocks] == [set("ABC")] * 8


def test_a_decided_side_is_measured_no_more() -> None:
    rng = np.random.default_rng(0)
    effects = {"A": 0.0, "B": 1.0, "C": 0.03}
    found = simulated(
        lambda s: effects[s] + 0.03 * float(rng.standard_normal()), ("B", "C"), most_blocks=60
    )
    assert {j.kind for j in found.judgements.values()} == {"slower"}
    drawn = {side: len(found.blocks.draws(side)) for side in "ABC"}
    assert drawn["B"] < drawn["C"] == drawn["A"]


def test_a_comparison_that_is_ended_early_is_undecided() -> None:
    rng = np.random.default_rng(0)
    found = simulated(lambda _: float(rng.standard_normal()), resolution=1e-6, most_blocks=6)
    assert found.judgements["B"].kind == "undecided"
    assert found.trials == 12
    nothing = simulated(lambda _: 0.0, most_blocks=0)
    assert (nothing.trials, nothing.judgements) == (0, {})


def test_a_fault_of_a_process_ends_it() -> None:
    def fault(side: str) -> float:
        raise TimeoutError(side)

    with pytest.raises(TimeoutError):
        simulated(fault)
