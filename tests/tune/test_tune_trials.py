"""What a trial measures: a part of many lengths, accuracy once, and what it makes for others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from landscape import Landscape, latency_s, question, space, stored

from honed.case import Case
from honed.phase import OnPhase, Phase, ignore_phase
from honed.record import Record
from honed.study import Setting, Trial
from honed.tune.context import StudyContext
from honed.tune.policy import POLICY
from honed.tune.search import Once, search

OPENVINO = Setting({"backend": "openvino", "precision": "int8"})


@pytest.mark.parametrize(
    ("words", "batches"),
    [
        (("lengths=8..512", "sequence_length=512"), POLICY.timed_batches),
        (("lengths=8..512", "sequence_length=512", "batches=4"), 4),
        ((), None),
    ],
)
def test_inputs_of_many_lengths_are_timed_in_part(
    tmp_path: Path, words: tuple[str, ...], batches: int | None
) -> None:
    with stored(tmp_path, question("objective=throughput", *words)) as (study, _):
        context = StudyContext(study, Landscape(latency_s))
        assert context.short(study.space.default, "default").batches == batches
        assert context.short(OPENVINO, "expert").batches == batches
        assert study.space.case(OPENVINO).batches == study.question.base.batches


@pytest.mark.parametrize(
    ("words", "of_default", "of_others"),
    [
        ((), True, False),
        (("limit=memory_mib<=500",), True, True),
        (("objective=memory",), True, True),
        (("memory=false",), False, False),
    ],
)
def test_memory_is_measured_of_the_default_and_where_the_question_needs_it(
    tmp_path: Path, words: tuple[str, ...], of_default: bool, of_others: bool
) -> None:
    with stored(tmp_path, question(*words)) as (study, _):
        context = StudyContext(study, Landscape(latency_s))
        assert context.short(study.space.default, "default").memory == of_default
        assert context.short(OPENVINO, "expert").memory == of_others


class TestAccuracy:
    def judged(self, folder: Path, *tried: Setting, limit: str = "") -> dict[str, bool]:
        """Whether a trial of each setting judges accuracy, after the tried ones have passed."""
        words = ["max_accuracy_drop=1%", *([f"limit={limit}"] if limit else [])]
        with stored(folder, question(*words)) as (study, _):
            for setting in tried:
                trial = study.begin(setting, "expert")
                study.end(replace(trial, status="ok", values=(1.0,), costs=(1.0,)))
            context = StudyContext(study, Landscape(latency_s))
            settings = {
                "default": study.space.default,
                "int8": OPENVINO,
                "one thread": OPENVINO.changed(threads=1),
                "jemalloc": OPENVINO.changed(allocator="jemalloc"),
                "streams": OPENVINO.changed(**{"openvino.streams": 2}),
            }
            return {name: context.short(s, "expert").evaluates for name, s in settings.items()}

    def test_the_reference_is_not_judged_by_itself(self, tmp_path: Path) -> None:
        assert self.judged(tmp_path) == {
            "default": False, "int8": True, "one thread": True, "jemalloc": True, "streams": True,
        }  # fmt: skip

    def test_outputs_that_passed_are_not_judged_again(self, tmp_path: Path) -> None:
        assert self.judged(tmp_path, OPENVINO) == {
            "default": False, "int8": False, "one thread": False, "jemalloc": False,
            "streams": True,
        }  # fmt: skip

    def test_what_passed_in_turns_is_not_judged_again(self, tmp_path: Path) -> None:
        with stored(tmp_path, question("max_accuracy_drop=1%")) as (study, _):
            context = StudyContext(study, Landscape(latency_s))
            case = study.space.case(OPENVINO)
            assert context.accepted(case, OPENVINO).evaluates
            one = OPENVINO.changed(threads=1)
            assert not context.accepted(case, OPENVINO, [one]).evaluates

    def test_a_limit_about_accuracy_needs_it_in_every_trial(self, tmp_path: Path) -> None:
        assert all(self.judged(tmp_path, OPENVINO, limit="accuracy>=0.5").values())


def test_what_is_made_once_is_counted_apart() -> None:
    now_s = 0.0
    once = Once(lambda: now_s)
    steps = [
        (Phase.PREPARING, 0.0), (Phase.MAKING_MODEL, 4.0), (None, 5.0), (Phase.IMPORTING, 6.0),
        (Phase.EXPORTING, 8.0), (Phase.LOADING, 20.0), (Phase.MEASURING, 25.0),
    ]  # fmt: skip
    for phase, at_s in steps:
        now_s = at_s
        once(phase)
    assert once.total_s == 6.0 + 12.0


def test_the_next_process_is_expected_to_find_what_the_first_made(tmp_path: Path) -> None:
    class Exporting(Landscape):
        def measure(
            self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
        ) -> Record:
            on_phase(Phase.EXPORTING)
            self.now_s += 40.0
            return super().measure(case, sweep, on_phase)

    with stored(tmp_path, question("trials=1", "budget=10m")) as (study, _):
        context = StudyContext(study, Exporting(latency_s))
        search(context)
        (trial,) = study.trials()
        assert (trial.elapsed_s, trial.once_s) == (48.0, 40.0)
        assert context.process_s(trial.setting) == 8.0


def test_the_best_before_it_is_told_with_a_trial(tmp_path: Path) -> None:
    told: list[tuple[Trial, Setting | None]] = []
    with stored(tmp_path, question("trials=3", "sampler=random")) as (study, _):
        context = StudyContext(study, Landscape(latency_s))
        context.listeners = replace(
            context.listeners,
            trial=lambda trial, _, best: told.append((trial, best.setting if best else None)),
        )
        search(context)
        assert space(study.question).default == told[1][1]
    assert told[0][1] is None
