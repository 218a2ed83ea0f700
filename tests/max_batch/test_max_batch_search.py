"""The search for the largest batch: what is tried, when it stops, and the Record of the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fake_lab import FakeLab
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.case import Case
from honed.errors import UsageError
from honed.max_batch.found import LargestBatch, Try, largest_batch
from honed.max_batch.predict import Growth
from honed.max_batch.search import Search, case_of_try, next_size
from honed.phase import ignore_phase
from honed.plain import from_plain, to_plain
from honed.record import Memory, Record
from honed.run.parent import InterruptedRun
from honed.units import size_bytes

MIB = 2**20
BASE = Case(model="tiny", backend="fake", workload="max_batch", memory_limit="1GiB")


class Process(FakeLab):
    """A process takes `base_mib`, and `each_mib` for each sequence; the limit is enforced."""

    def __init__(self, base_mib: float = 300, each_mib: float = 10) -> None:
        super().__init__()
        self.base_mib, self.each_mib = base_mib, each_mib
        self.failing = self.status

    def peak_bytes(self, case: Case) -> int:
        return int((self.base_mib + self.each_mib * case.batch_size) * MIB)

    def status(self, case: Case) -> str | None:
        limit = case.memory_limit
        too_large = limit is not None and self.peak_bytes(case) > size_bytes(limit)
        return "oom" if too_large else None

    def _record(self, case: Case) -> Record:
        limited = {"memory_limited_by": "a memory control group"} if case.memory_limit else {}
        memory = Memory(rss_anon_peak_bytes=self.peak_bytes(case))
        self.fields = {"memory": memory, "effective": (limited,)}
        return super()._record(case)


def linear(each_mib: float, source: str = "traced") -> Growth:
    return Growth(source, lambda batch_size: int(batch_size * each_mib * MIB))


def searched(
    lab: Process, growth: Growth | None = None, case: Case = BASE
) -> tuple[Record, LargestBatch]:
    record = Search(case, lab, "tries", ignore_phase, lambda _: growth).run()
    found = largest_batch(record)
    assert found is not None
    return record, found


@pytest.fixture(autouse=True)
def much_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.machine.limits.free_bytes", lambda: 10_000 * MIB)


def test_a_right_prediction_needs_two_tries() -> None:
    lab = Process()
    record, found = searched(lab, linear(10))
    assert (found.predicted, found.batch_size, found.too_large) == (72, 72, 73)
    assert [one.batch_size for one in found.tries] == [72, 73]
    assert found.tries[0].predicted_bytes == found.tries[0].peak_bytes == 1020 * MIB
    assert found.tries[1].peak_bytes is None
    assert found.tries[1].why == "as the test asked"
    assert found.limited_by == "a memory control group"
    assert record.status == "ok"


@pytest.mark.parametrize("each_mib", [0.1, 1, 5, 9, 12, 40, 400])
def test_a_wrong_prediction_is_corrected_by_what_was_measured(each_mib: float) -> None:
    lab = Process()
    _, found = searched(lab, linear(each_mib))
    assert (found.batch_size, found.too_large) == (72, 73)
    assert len(found.tries) <= 8


def test_without_a_prediction_sizes_grow_from_one() -> None:
    _, found = searched(Process(each_mib=50))
    assert (found.predicted, found.predicted_from) == (None, "")
    assert found.tries[0].batch_size == 1
    assert (found.batch_size, found.too_large) == (14, 15)
    assert all(one.predicted_bytes is None for one in found.tries)


def test_large_batches_are_told_apart_to_two_percent() -> None:
    _, found = searched(Process(each_mib=0.5), linear(0.7))
    assert found.too_large is not None
    assert found.batch_size <= 1448 < found.too_large
    assert found.too_large - found.batch_size <= 0.02 * found.batch_size


def test_a_batch_is_a_multiple_of_the_parts_that_gradients_are_accumulated_over() -> None:
    case = BASE.replace(knobs={"mode": "train", "accumulation_steps": 5})
    for start in (None, linear(10), linear(2)):
        lab = Process()
        _, found = searched(lab, start, case)
        assert found.alone.batch_size == 5
        assert all(one.batch_size % 5 == 0 for one in lab.measured)
        assert (found.batch_size, found.too_large) == (70, 75)


def test_the_record_is_of_the_question_and_says_no_speed() -> None:
    record, found = searched(Process(), linear(10), BASE.replace(knobs={"mode": "train"}))
    assert record.to_case() == BASE.replace(knobs={"mode": "train"})
    assert record.metrics is None
    assert record.memory is not None
    assert record.memory.rss_anon_peak_bytes == 1020 * MIB
    assert record.id not in {one.record for one in found.tries}
    assert from_plain(Record, to_plain(record)) == record


def test_tries_are_short_cases_of_their_own_without_the_words_of_the_search() -> None:
    lab = Process()
    searched(lab, linear(10), BASE.replace(knobs={"mode": "train", "optimizer": "sgd"}))
    alone, first, *_ = lab.measured
    assert (alone.batch_size, alone.memory_limit) == (1, "8000MiB")
    assert (first.batch_size, first.memory_limit) == (72, "1GiB")
    assert (first.workload, first.get("mode"), first.get("optimizer")) == (
        "train_step", None, "sgd",
    )  # fmt: skip
    assert first.get("steps") == 1
    assert set(lab.sweeps.values()) == {"tries"}
    plain = case_of_try(BASE.replace(knobs={"optimizer": "sgd"}), 4, "1GiB")
    assert (plain.workload, plain.get("optimizer")) == ("closed_loop", None)
    assert plain.warmup_s == 0


def test_where_nothing_fits_the_record_is_out_of_memory() -> None:
    record, found = searched(Process(base_mib=2000), linear(10))
    assert (found.batch_size, found.too_large, found.predicted) == (0, 1, 0)
    assert record.status == "oom"
    assert record.error is not None
    assert record.error.message.startswith("not even one sequence fits")
    assert "memory=" in record.error.hint


def test_a_model_that_does_not_run_at_all_is_not_searched() -> None:
    lab = Process()
    lab.failing = lambda _: "unsupported"
    record = Search(BASE, lab, "tries", ignore_phase, lambda _: linear(10)).run()
    assert (record.status, largest_batch(record)) == ("unsupported", None)
    assert len(lab.measured) == 1


def test_outputs_that_diverge_fit_and_the_record_says_so() -> None:
    lab = Process()
    lab.failing = lambda case: lab.status(case) or "diverged"
    record, found = searched(lab, linear(10))
    assert found.batch_size == 72
    assert record.status == "diverged"


def test_a_crash_or_a_timeout_is_no_fit_and_says_why() -> None:
    lab = Process()
    lab.failing = lambda case: "timeout" if case.batch_size > 20 else None
    _, found = searched(lab, linear(10))
    assert (found.batch_size, found.too_large) == (20, 21)
    assert {one.status for one in found.tries if not one.fits} == {"timeout"}


def test_without_a_limit_a_share_of_the_free_memory_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("honed.machine.limits.free_bytes", lambda: 1000 * MIB)
    _, found = searched(Process(), linear(10), BASE.replace(memory_limit=None))
    assert found.limit_bytes == 800 * MIB
    assert found.batch_size == 50


def test_a_limit_beyond_the_free_memory_is_refused_before_anything_runs() -> None:
    lab = Process()
    with pytest.raises(UsageError, match="more than what this machine can spare") as refused:
        searched(lab, linear(10), BASE.replace(memory_limit="9GiB"))
    assert "memory=8000MiB" in refused.value.hint
    assert lab.measured == []


def test_a_batch_size_that_is_given_is_tried_first() -> None:
    _, found = searched(Process(), linear(10), BASE.replace(batch_size=40))
    assert (found.predicted, found.tries[0].batch_size, found.batch_size) == (72, 40, 72)


def test_ctrl_c_ends_the_search() -> None:
    lab = Process()
    lab.interrupt_after = 2
    with pytest.raises(InterruptedRun):
        searched(lab, linear(10))


@given(
    st.integers(0, 5000),
    st.integers(1, 5000),
    st.sampled_from([0.0, 0.3, 1.0, 3.0]),
)
@settings(max_examples=200, deadline=None)
def test_the_bracket_always_closes(most: int, guess: int, memory_slope: float) -> None:
    """Whatever the peaks say, also where they do not grow at all."""
    alone = Try(1, True, "ok", 100 * MIB, None, "", "a")
    tries: list[Try] = []
    following: int | None = guess
    fits: Callable[[int], bool] = lambda n: n <= most  # noqa: E731
    while following is not None:
        assert following not in {one.batch_size for one in tries}
        peak = int(100 * MIB + memory_slope * following * MIB) if fits(following) else None
        tries.append(Try(following, fits(following), "ok", peak, None, "", "r"))
        following = next_size([alone], tries, 100 * MIB + int(memory_slope * most * MIB))
        assert len(tries) < 40
    low = max((one.batch_size for one in tries if one.fits), default=0)
    high = min(one.batch_size for one in tries if not one.fits)
    assert low <= most < high
    assert high - low <= max(1, 0.02 * low)
