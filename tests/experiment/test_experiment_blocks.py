"""The sequential design on simulated processes: how often wrong, and how soon right."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.experiment.blocks import Plan, Standing, differences, mirrored, run
from honed.statistics.paired import Question

Noise = Callable[[np.random.Generator], Callable[[], float]]
RESOLUTION = math.log(1.02)
SIMULATIONS = 1000


def within(blocks: int) -> Callable[[Standing], bool]:
    return lambda at: len(next(iter(at.values.values()))) < blocks


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


def verdicts(noise: Noise, effects: dict[str, float], blocks: int = 40) -> list[Standing]:
    found = []
    for seed in range(SIMULATIONS):
        luck = noise(np.random.default_rng(seed))
        plan = Plan(("A", *effects), Question(RESOLUTION), seed)
        drawn = {"A": 0.0, **effects}
        found.append(run(plan, lambda s, _: drawn[s] + luck(), within(blocks)))  # noqa: B023
    return found


def share(found: list[Standing], *kinds: str) -> float:
    """How many of the comparisons said one of these about any side."""
    return sum(any(j.kind in kinds for j in s.judgements.values()) for s in found) / len(found)


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
    plan = Plan(("A", "B"), Question(1e-9), seed=1)
    standing = run(plan, lambda _, __: 0.01 * next(clock), within(12))
    assert sum(differences(standing.values, "A")["B"]) == pytest.approx(0, abs=1e-12)


def test_blocks_are_numbered_and_hold_every_side_once() -> None:
    drawn: list[tuple[str, int]] = []

    def draw(side: str, block: int) -> float:
        drawn.append((side, block))
        return random.Random(len(drawn)).gauss(0, 1)

    run(Plan(("A", "B", "C"), Question(1e-9), 5), draw, within(8))
    assert Counter(drawn) == Counter(itertools.product("ABC", range(8)))
    assert [block for _, block in drawn] == sorted(block for _, block in drawn)


def test_a_decided_side_is_measured_no_more() -> None:
    rng = np.random.default_rng(0)
    effects = {"A": 0.0, "B": 1.0, "C": 0.03}
    plan = Plan(("A", "B", "C"), Question(RESOLUTION), 2)
    found = run(plan, lambda s, _: effects[s] + 0.03 * float(rng.standard_normal()), within(60))
    assert found.decided
    assert len(found.values["B"]) < len(found.values["C"]) == len(found.values["A"])


def test_it_stops_when_told_to_and_is_undecided() -> None:
    rng = np.random.default_rng(0)
    plan = Plan(("A", "B"), Question(1e-6), 2)
    found = run(plan, lambda *_: float(rng.standard_normal()), within(6))
    assert found.judgements["B"].kind == "undecided"
    assert found.trials == 12
    nothing = run(plan, lambda *_: 0.0, lambda _: False)
    assert (nothing.trials, nothing.decided) == (0, False)


def test_what_a_trial_raises_ends_it() -> None:
    def draw(side: str, block: int) -> float:
        raise TimeoutError(side)

    with pytest.raises(TimeoutError):
        run(Plan(("A", "B"), Question(RESOLUTION), 0), draw, within(4))
