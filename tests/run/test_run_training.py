"""Training steps and attention of torch in real processes, from words to Records."""

from __future__ import annotations

import math

import pytest

from honed.compose import compose
from honed.plain import from_plain
from honed.record import Record
from honed.run.parent import measure
from honed.run.passes import memory_timeline, precision, profile

pytestmark = pytest.mark.engine
SIZES = ["model.d_model=32", "model.d_ff=64", "model.num_layers=3", "model.num_heads=2",
         "model.vocab_size=100"]  # fmt: skip


def measured(*words: str) -> Record:
    (case,) = compose([*words, "sequence_length=16", "threads=1"]).cases
    return measure(case)


def test_a_training_step_is_proven_judged_and_observed() -> None:
    record = measured(
        "model=lm-small", *SIZES, "workload=train_step", "batch_size=4", "precision=bf16",
        "warmup_steps=1", "steps=3", "optimizer=adamw", "optimizer_kernel=fused",
        "accumulation_steps=2", "clipping=on", "checkpointing=blocks",
        "passes=profile+precision+memory_timeline",
    )  # fmt: skip
    assert record.status == "ok", record.error
    assert record.fidelity is not None
    assert record.fidelity.reference == "torch fp32 eager"
    assert record.metrics is not None
    assert record.metrics.samples == 3
    assert record.metrics.phases is not None
    parts = [record.metrics.phases[n].mean for n in ("forward", "backward", "optimizer")]
    assert min(parts) > 0
    assert sum(parts) <= record.metrics.phases["step"].mean
    # Three times the products of the forward pass: the layers', attention's and the head's.
    tokens, width, wide = 4 * 16, 32, 64
    layer = 2 * tokens * (4 * width**2 + 3 * width * wide) + 4 * 4 * 16**2 * width
    flops = 3 * (3 * layer + 2 * tokens * width * 100)
    calls_per_s = record.metrics.throughput_per_s.value / 4
    assert record.metrics.flops_per_s == pytest.approx(flops * calls_per_s)
    assert record.passes is not None
    rows = from_plain(profile.Part, record.passes["profile"]).rows
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert any(row.phase == "optimizer" for row in rows)
    observed = from_plain(precision.Part, record.passes["precision"]).observed
    assert observed.gradients == "float32"
    timeline = from_plain(memory_timeline.Part, record.passes["memory_timeline"])
    assert memory_timeline.read_timeline(timeline.timeline).peak() == timeline.peak
    assert record.memory is not None
    assert record.memory.by_kind == timeline.peak.by_kind
    assert sum(timeline.peak.by_kind.values()) == timeline.peak.size_bytes
    assert Record.from_json(record.to_json()) == record


def test_attention_is_measured_without_a_model_and_judged() -> None:
    record = measured("workload=attention", "attention=sdpa_flash", "d_model=16", "batch_size=2",
                      "warmup_steps=0", "steps=4")  # fmt: skip
    assert record.status == "ok", record.error
    assert record.metrics is not None
    assert list(record.metrics.phases or {}) == ["forward", "backward", "step"]
    assert record.memory is not None
    after = record.memory.after_phase_bytes
    assert after is not None
    inputs = 4 * 2 * 16 * 16 * 4  # queries, keys, values and the gradient of the output
    assert after["forward"] > inputs
    assert record.passes is not None
    assert record.passes["traffic"]["traffic"].startswith("writing one output")
    assert record.fidelity is not None
    assert record.fidelity.reference == "naive attention in fp32"


def test_a_cell_beyond_all_memory_is_out_of_memory_without_a_try() -> None:
    (case,) = compose(["workload=attention", "sequence_length=131072", "batch_size=8"]).cases
    record = measure(case)
    assert record.status == "oom"
    assert record.error is not None
    assert "it was not tried" in record.error.message
    assert math.isfinite(record.elapsed_s or math.inf)
