"""The measured memory timeline of a training step, by numbers that can be counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
from test_torch_training import SIZES, feed_of, step_of

from honed.run.passes.memory_timeline import largest_of
from honed.timeline import MemoryKind, StepPhase

pytestmark = pytest.mark.engine
TOKENS, WIDTH, WIDE = 4 * 8, SIZES["model.d_model"], SIZES["model.d_ff"]
STREAM = TOKENS * WIDTH * 4


def measured(step: Any) -> Any:
    feed = feed_of(step)
    step.run(feed)  # makes the state of the optimizer
    return step.memory_timeline(feed)


def test_every_kind_has_the_bytes_that_follow_from_the_sizes() -> None:
    step = step_of()
    timeline = measured(step).timeline
    buffers = sum(b.nbytes for b in step.module.buffers())
    at_end = {kind: timeline.alive_bytes(kind)[-1] for kind in MemoryKind}
    assert at_end[MemoryKind.WEIGHTS] == step.weights_bytes + buffers
    counters = 4 * len(list(step.module.parameters()))
    assert at_end[MemoryKind.OPTIMIZER] == 2 * step.weights_bytes + counters
    backward = next(span for span in timeline.spans if span.phase is StepPhase.BACKWARD)
    assert timeline.alive_bytes(MemoryKind.GRADIENTS)[backward.end - 1] == step.weights_bytes
    assert at_end[MemoryKind.GRADIENTS] == 0  # the optimizer's phase releases them


def test_the_dispatchers_peak_is_within_the_allocators() -> None:
    """The allocator also counts what kernels take for themselves."""
    step = step_of()
    feed = feed_of(step)
    step.run(feed)
    peak = step.memory_timeline(feed).timeline.peak()
    assert peak.size_bytes == pytest.approx(step.tensor_peak_bytes(feed), rel=0.05)
    assert peak.phase in (StepPhase.FORWARD, StepPhase.BACKWARD, StepPhase.OPTIMIZER)


def test_one_tensor_of_the_residual_stream_has_its_true_size() -> None:
    found = measured(step_of())
    assert found.stream_shape == (4, 8, WIDTH)
    assert found.stream_dtype == "float32"
    assert found.stream_bytes == STREAM


def test_checkpointing_keeps_one_tensor_a_block_or_a_group() -> None:
    step = step_of(knobs={"model.num_layers": 6})
    found = measured(step)
    assert list(found.kept_bytes) == ["off", "blocks", "nested"]
    # Two groups of three blocks: four tensors of the residual stream fewer.
    saved = found.kept_bytes["blocks"] - found.kept_bytes["nested"]
    assert saved == pytest.approx(4 * STREAM, rel=0.1)
    assert found.block_kept_bytes["blocks"] == pytest.approx(STREAM, rel=0.3)
    assert found.block_kept_bytes["off"] > 10 * STREAM
    assert found.kept_bytes["blocks"] < found.kept_bytes["off"] / 2
    assert step.read_back()["checkpointing"] == "off"  # as it was


def test_saved_tensors_are_listed_by_module_shape_and_type() -> None:
    found = measured(step_of())
    wide = [
        each
        for each in found.residuals
        if each.module.startswith("model.layers.*.mlp") and each.shape[-1] == WIDE
    ]
    layers = SIZES["model.num_layers"]
    assert all(each.size_bytes == TOKENS * WIDE * 4 for each in wide)
    # The gate before and after its activation, the other half, and their product.
    assert sum(each.count for each in wide) in (3 * layers, 4 * layers)


def test_the_largest_allocations_name_their_origin() -> None:
    timeline = measured(step_of()).timeline
    largest = largest_of(timeline.at(timeline.peak().tick))
    sizes = [each.size_bytes * each.count for each in largest]
    assert sizes == sorted(sizes, reverse=True)
    assert any(each.module and each.op.startswith("aten.") for each in largest)


def test_a_forward_pass_alone_keeps_nothing() -> None:
    found = measured(step_of(knobs={"until": "forward"}))
    assert found.residuals == ()
    assert found.stream_bytes is None
    assert {span.phase for span in found.timeline.spans} == {StepPhase.FORWARD}


def test_compiled_code_has_no_timeline() -> None:
    step = step_of(knobs={"torch.mode": "compile", "model.num_layers": 1})
    assert step.memory_timeline(feed_of(step)) is None
