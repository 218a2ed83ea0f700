"""Experiments through a fake Lab: which sides are measured, when it ends, and what is kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from fake_lab import FakeLab

from honed.case import Case
from honed.errors import UsageError
from honed.experiment.blocks import PairedBlocks
from honed.experiment.draw import Draw, Experiment, Failure, TimeUp, TrialFailed
from honed.experiment.policy import COMPARE
from honed.experiment.turns import Race, Rule, Terms, UntilDecided, end_all, take_turns
from honed.statistics.paired import Question

BASE = Case("tiny", backend="fake")
CASES = {"A": BASE, "B": BASE.replace(batch_size=2), "C": BASE.replace(batch_size=4)}
TIMES_S = {1: 0.010, 2: 0.011, 4: 0.015}
QUESTION = Question(math.log(1.02))


def lab(noise: float = 0.005) -> FakeLab:
    return FakeLab(lambda case: TIMES_S[case.batch_size], noise)


def until_decided() -> UntilDecided:
    return UntilDecided(QUESTION, "A", ("B", "C"))


def sides_of(experiment: Experiment) -> str:
    return "".join(process.side for process in experiment.processes)


@pytest.mark.parametrize("rule", [until_decided, lambda: Race(list(CASES))])
class TestEveryRule:
    """Time, interruptions and failures end every kind of experiment in the same way."""

    def test_every_process_is_kept_under_the_sweep(self, rule) -> None:  # type: ignore[no-untyped-def]
        experiment, blocks = Experiment(lab(), "study"), PairedBlocks(dict(CASES))
        assert take_turns(experiment, blocks, rule(), Terms(seed=1)) == "decided"
        made = experiment.lab
        assert isinstance(made, FakeLab)
        assert set(made.sweeps.values()) == {"study"}
        assert sum(map(len, blocks.blocks)) == len(experiment.processes) == len(made.records)

    def test_the_second_block_mirrors_the_first(self, rule) -> None:  # type: ignore[no-untyped-def]
        experiment, blocks = Experiment(lab(), "study"), PairedBlocks(dict(CASES))
        take_turns(experiment, blocks, rule(), Terms(seed=1))
        order = sides_of(experiment)
        assert order[3:6] == order[:3][::-1]

    def test_no_block_begins_that_would_end_too_late(self, rule) -> None:  # type: ignore[no-untyped-def]
        experiment, blocks = Experiment(lab(0.1), "study"), PairedBlocks(dict(CASES))
        assert take_turns(experiment, blocks, rule(), Terms(until_s=70, seed=1)) == "budget"
        assert experiment.lab.clock_s() <= 70
        assert len(blocks.blocks) in (2, 3)  # a race of two sides has time for a third block

    def test_the_least_blocks_are_measured_whatever_the_time(self, rule) -> None:  # type: ignore[no-untyped-def]
        experiment, blocks = Experiment(lab(0.3), "study"), PairedBlocks(dict(CASES))
        take_turns(experiment, blocks, rule(), Terms(until_s=-1.0, least_blocks=4, seed=1))
        assert len(blocks.blocks) == 4
        assert take_turns(experiment, blocks, rule(), Terms(until_s=-1.0)) == "budget"
        assert len(blocks.blocks) == 4

    def test_a_block_that_time_breaks_off_is_not_kept(self, rule) -> None:  # type: ignore[no-untyped-def]
        experiment, blocks = Experiment(lab(0.1), "study"), PairedBlocks(dict(CASES))
        terms = Terms(until_s=20, breaks_off=True, seed=1)
        assert take_turns(experiment, blocks, rule(), terms) == "budget"
        assert (blocks.blocks, blocks.failed) == ([], {})
        assert len(experiment.processes) == 2

    def test_ctrl_c_is_passed_on_and_the_processes_are_kept(self, rule) -> None:  # type: ignore[no-untyped-def]
        made = lab(0.1)
        made.interrupt_after = 5
        experiment, blocks = Experiment(made, "study"), PairedBlocks(dict(CASES))
        with pytest.raises(KeyboardInterrupt):
            take_turns(experiment, blocks, rule(), Terms(seed=1))
        assert [len(block) for block in blocks.blocks] == [3, 2]
        assert len(made.records) == 6  # the interrupted one as well

    def test_a_side_that_fails_drops_out(self, rule) -> None:  # type: ignore[no-untyped-def]
        made = lab()
        made.failing = lambda case: "oom" if case.batch_size == 2 else None
        experiment, blocks = Experiment(made, "study"), PairedBlocks(dict(CASES))
        assert take_turns(experiment, blocks, rule(), Terms(seed=1)) == "decided"
        assert (blocks.failed["B"].status, blocks.failed["B"].hint) == ("oom", "fix it")
        assert Counter(sides_of(experiment))["B"] == 1
        assert blocks.differences("C", "A")

    def test_or_ends_it_all(self, rule) -> None:  # type: ignore[no-untyped-def]
        made = lab()
        made.failing = lambda case: "crashed" if case.batch_size == 2 else None
        experiment, blocks = Experiment(made, "study"), PairedBlocks(dict(CASES))
        with pytest.raises(TrialFailed) as raised:
            take_turns(experiment, blocks, rule(), Terms(seed=1, on_failure=end_all))
        assert raised.value.failure == blocks.failed["B"]
        assert sides_of(experiment)[-1] == "B"


def test_nothing_is_left_to_compare_with_when_the_first_side_fails() -> None:
    made = lab()
    made.failing = lambda case: "crashed" if case.batch_size == 1 else None
    experiment, blocks = Experiment(made, "study"), PairedBlocks(dict(CASES))
    take_turns(experiment, blocks, until_decided(), Terms(seed=1))
    assert len(blocks.blocks) <= 2


def test_a_race_drops_who_is_behind_and_keeps_who_is_close() -> None:
    made = FakeLab(lambda case: {1: 0.01, 2: 0.01, 4: 0.02}[case.batch_size], 0.02)
    race, blocks = Race(list(CASES)), PairedBlocks(dict(CASES))
    take_turns(Experiment(made, "study"), blocks, race, Terms(seed=1))
    assert "C" not in race.left
    assert len(blocks.draws("C")) == 2  # a block and its mirror
    assert len(blocks.draws("A")) <= COMPARE.most_race_blocks


def test_a_race_of_one_needs_no_process() -> None:
    experiment = Experiment(lab(), "study")
    take_turns(experiment, PairedBlocks(dict(CASES)), Race(["A"]), Terms())
    assert experiment.processes == []


def test_only_blocks_from_since_on_are_judged() -> None:
    blocks = PairedBlocks(dict(CASES))
    take_turns(Experiment(lab(), "study"), blocks, until_decided(), Terms(seed=1))
    before = len(blocks.blocks)
    again = UntilDecided(QUESTION, "A", ("C",), since=before)
    take_turns(Experiment(lab(), "study"), blocks, again, Terms(seed=2))
    assert again.judgements["C"].estimate.count == len(blocks.blocks) - before


def test_a_process_that_exported_first_is_measured_again_but_not_for_ever() -> None:
    made = lab()
    made.exports = lambda case: 1 if case.batch_size == 1 else 99
    experiment = Experiment(made, "study")
    assert isinstance(experiment.draw("A", CASES["A"], 0), Draw)
    assert [p.counted for p in experiment.processes] == [False, True]
    assert isinstance(experiment.draw("B", CASES["B"], 0), Draw)
    assert [p.counted for p in experiment.processes[2:]] == [False, False, False, True]


@pytest.mark.parametrize("status", ["oom", "diverged", "unproven", "timeout"])
def test_a_failure_is_data_with_its_record(status: str) -> None:
    made = lab()
    made.failing = lambda _: status
    failure = Experiment(made, "study").draw("A", BASE, 0)
    assert isinstance(failure, Failure)
    assert (failure.side, failure.status) == ("A", status)
    assert made.records[str(failure.record)].status == status


def test_time_that_is_up_is_no_failure() -> None:
    made = lab()
    with pytest.raises(TimeUp):
        Experiment(made, "study").draw("A", BASE, 0, until_s=4.0)
    assert [r.status for r in made.records.values()] == ["timeout"]


def test_a_case_that_cannot_start_is_passed_on() -> None:
    class Refusing(FakeLab):
        def measure(self, *_: object) -> None:  # type: ignore[override]
            raise UsageError("no such model")

    with pytest.raises(UsageError):
        Experiment(Refusing(), "study").draw("A", BASE, 0)


@dataclass
class LargestBatch:
    """The largest batch that fits, by halving: a rule that takes "oom" for an answer."""

    fits: int = 1
    too_large: int = 1 << 10
    blocks_per_look: ClassVar[int] = 1
    _asked: list[str] = field(default_factory=list)

    def sides(self, blocks: PairedBlocks) -> Sequence[str]:
        for side in self._asked:
            if side in blocks.failed:
                assert blocks.failed[side].status == "oom"
                self.too_large = min(self.too_large, int(side))
            else:
                self.fits = max(self.fits, int(side))
        if self.too_large - self.fits <= 1:
            return []
        side = str((self.fits + self.too_large) // 2)
        blocks.cases[side] = BASE.replace(batch_size=int(side))
        self._asked.append(side)
        return [side]


def test_a_search_for_the_largest_batch_uses_the_room() -> None:
    made = FakeLab()
    made.failing = lambda case: "oom" if case.batch_size > 100 else None
    rule = LargestBatch()
    blocks = PairedBlocks()
    typed: Rule = rule
    assert take_turns(Experiment(made, "study"), blocks, typed, Terms()) == "decided"
    assert rule.fits == 100
    assert len(made.measured) == 10


def test_a_process_is_short_unless_its_length_was_set() -> None:
    assert (COMPARE.short(BASE).duration_s, COMPARE.short(BASE).memory) == (0.7, False)
    asked = Case("tiny", duration_s=3.0, min_samples=50, warmup_s=1.0)
    short = COMPARE.short(asked)
    assert (short.duration_s, short.min_samples, short.warmup_s) == (3, 50, 1)
