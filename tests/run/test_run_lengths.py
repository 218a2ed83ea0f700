"""Lengths that vary, end to end: drawn, padded, proven, fed in whole turns, counted rightly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.case import Case
from honed.compose import compose
from honed.measures import parse_limit
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import InputSet
from honed.models.obtain import materialise
from honed.record import Record, Samples
from honed.run import prepare
from honed.run.needs import load_inputs
from honed.run.parent import measure
from honed.run.passes import timing
from honed.statistics import window
from honed.workloads.base import forward_work

QUICK: dict[str, Any] = {
    "model": "tiny",
    "backend": "fake",
    "lengths": "uniform(8,200)",
    "sequence_length": 200,
    "batch_size": 8,
    "duration_s": 0.2,
    "warmup_s": 0.2,
    "memory": False,
}


def run(knobs: dict[str, Any] | None = None, **changes: Any) -> Record:
    return measure(Case(**{**QUICK, **changes}, knobs=knobs or {}))


@pytest.mark.parametrize("policy", [None, "longest", "buckets", "sorted", "max"])
def test_a_padding_policy_is_proven_and_its_padding_is_counted(policy: str | None) -> None:
    record = run({"padding": policy} if policy else {})
    assert record.status == "ok", record.error
    assert record.effective[0]["padding"] == (policy or "longest")
    assert record.inputs is not None
    assert record.metrics is not None
    assert record.inputs.source == "random ids, lengths uniform(8,200)"
    assert record.inputs.sequences == 256
    tokens_per_s, useful_per_s = record.metrics.tokens_per_s, record.metrics.useful_tokens_per_s
    assert tokens_per_s is not None
    assert useful_per_s is not None
    useful = useful_per_s / tokens_per_s
    assert useful == pytest.approx(1 - record.inputs.padding_share, abs=1e-6)
    per_sequence = useful_per_s / (record.metrics.throughput_per_s.value or 0)
    assert per_sequence == pytest.approx(104, rel=1e-3)  # whole turns: the distribution's mean
    assert record.metrics.samples % 32 == 0
    kinds = {d.kind for d in record.doubts}
    assert not kinds & {"warmup", "too_few"}


def test_sorting_pads_less_than_the_order_of_the_inputs() -> None:
    def share(policy: str) -> float:
        found = run({"padding": policy}).inputs
        assert found is not None
        return found.padding_share

    assert share("sorted") < 0.06 < share("longest") < share("buckets") <= share("max") < 0.5


def test_buckets_of_a_size_are_proven() -> None:
    record = run({"padding": "buckets", "bucket_tokens": 48})
    assert record.status == "ok", record.error
    assert record.effective[0]["bucket_tokens"] == 48


def test_batches_that_are_not_what_was_asked_for_make_it_unproven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = run({"padding": "max"}, lengths="8..60").to_case()
    others = prepare.ready(made)
    assert others is not None
    monkeypatch.setattr(prepare, "ready", lambda _: others)
    record = measure(made.replace(knobs={"padding": "sorted"}))
    assert record.status == "unproven"
    assert record.error is not None
    assert "padding=sorted (read back: max)" in record.error.message


def test_two_instances_take_whole_turns_too() -> None:
    record = run(instances=2, threads=1, oversubscribe=True)
    assert record.status == "ok", record.error
    assert record.metrics is not None
    assert (record.metrics.useful_tokens_per_s or 0) < (record.metrics.tokens_per_s or 0)


def test_one_records_histogram_is_anothers_lengths(tmp_path: Path) -> None:
    first = run()
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(first.to_json()) + "\n")
    (case,) = compose(["model=tiny", "backend=fake", f"lengths={file}", "batch_size=8"]).cases
    again = measure(case.replace(duration_s=0.1, warmup_s=0.1, memory=False))
    assert again.inputs is not None
    assert first.inputs is not None
    assert again.inputs.length_histogram.keys() == first.inputs.length_histogram.keys()


def test_too_long_for_the_model() -> None:
    record = run(lengths="uniform(8,600)", sequence_length=600)
    assert record.status != "ok"
    assert record.error is not None
    assert "sequence_length=512" in record.error.hint


def test_a_part_of_the_batches_has_the_mean_of_all_and_tells_the_longest_apart() -> None:
    record = run(batch_size=1, batches=16)
    assert record.status == "ok", record.error
    assert record.inputs is not None
    assert record.metrics is not None
    assert record.inputs.sequences == 64
    assert record.metrics.samples % 16 == 0
    useful_per_s = record.metrics.useful_tokens_per_s or 0
    per_sequence = useful_per_s / (record.metrics.throughput_per_s.value or 0)
    assert per_sequence == pytest.approx(104, rel=5e-3)
    assert record.metrics.latency_s.p99 is None  # the longest inputs are not among the timed ones
    assert record.metrics.latency_tail_s is not None
    assert record.metrics.latency_tail_s > 0
    assert parse_limit("latency_p99_ms<=0.001").violation(record) == pytest.approx(
        record.metrics.latency_tail_s * 1e6 - 1
    )


def test_a_part_with_more_batches_than_there_are_is_all_of_them() -> None:
    whole, part = run(), run(batches=500)
    assert part.metrics is not None
    assert whole.metrics is not None
    assert part.metrics.samples % 32 == 0
    assert part.metrics.latency_tail_s is not None
    assert whole.metrics.latency_tail_s is not None


@pytest.mark.engine
def test_a_real_engine_is_judged_on_padded_batches() -> None:
    case = Case(
        model="tiny-bert", backend="onnxruntime", lengths="uniform(4,48)", sequence_length=48,
        batch_size=8, duration_s=0.2, warmup_s=0.5, memory=False, knobs={"padding": "buckets"},
    )  # fmt: skip
    record = measure(case)
    assert record.status == "ok", record.error
    assert record.fidelity is not None
    assert record.fidelity.cosine_min > 0.999
    prepared = prepare.ready(case)
    assert prepared is not None
    judged = load_inputs(prepared).head(8)
    assert not np.concatenate([b["attention_mask"].ravel() for b in judged.batches]).all()


def ragged(*batches: tuple[int, ...]) -> InputSet:
    """Batches of sequences of these lengths, padded to the longest of each."""
    masks = [np.array([[1] * n + [0] * (max(b) - n) for n in b], np.int64) for b in batches]
    fed = tuple({"input_ids": mask, "attention_mask": mask} for mask in masks)
    return InputSet(fed, tuple(n for b in batches for n in b), "x")


def test_rates_are_of_the_batches_that_the_window_held() -> None:
    checkpoint = materialise(ModelRequest("tiny"))
    cut = window.Cut(Samples((), ()), 2.0, 0.0, shares=((1.0, 0.5, 1.0), (0.0, 1.0)))
    batches = ragged((3, 1), (8, 8)).batches
    works = [forward_work(checkpoint, batch, skips_padding=False) for batch in batches]
    # Batch 0, 2 x 3 tokens of which 4 are real, twice; batch 1, 2 x 8, one and a half times.
    assert timing.calls_in_window(cut, [[0, 1, 0], [0, 1]], 2).tolist() == [2, 1.5]
    assert [work.tokens for work in works] == [6, 16]
    assert [work.useful_tokens for work in works] == [4, 16]


def test_an_engine_that_skips_padding_computes_less() -> None:
    bert = materialise(ModelRequest("tiny-bert"))
    (batch,) = ragged((60, 4, 4, 4)).batches
    padded, real = (forward_work(bert, batch, skips) for skips in (False, True))
    assert padded.tokens == 240
    assert real.tokens == real.useful_tokens == 72
    assert padded.useful_tokens == 72
    assert padded.flops is not None
    assert real.flops is not None
    assert real.flops < 72 / 240 * 1.2 * padded.flops


def test_without_a_model_there_is_no_arithmetic_to_count() -> None:
    (batch,) = ragged((3, 1)).batches
    work = forward_work(None, batch, skips_padding=False)
    assert (work.tokens, work.flops) == (6, None)
