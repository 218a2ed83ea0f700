"""The measured memory timeline of a training step, by numbers that can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_torch_training import SIZES, feed_of, step_of

from honed.backends.base import MeasuredMemory
from honed.backends.torch import memory
from honed.phase import ignore_phase
from honed.plan.snapshot import replay_snapshot
from honed.run.passes import memory_timeline
from honed.run.passes.memory_timeline import largest_of
from honed.timeline import Block, MemoryKind, StepPhase, Timeline

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


def test_a_model_whose_blocks_make_no_groups_is_watched_without_them() -> None:
    small = {key: value for key, value in SIZES.items() if key != "model.context_length"}
    step = step_of(model="modernbert-base", knobs=small)
    found = measured(step)
    assert list(found.kept_bytes) == ["off", "blocks"]
    assert found.residuals
    assert step.read_back()["checkpointing"] == "off"


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


def test_the_history_of_a_gpus_allocator_is_kept_for_a_replay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a GPU here, torch's recording functions are replaced."""
    import torch

    heard: list[Any] = []
    event = {"size": 2048, "addr": 64, "stream": 0}
    segment = {"device": 0, "total_size": 2**21, "allocated_size": 2048}
    actions = ("segment_alloc", 2**21), ("alloc", 2048)
    history = {
        "device_traces": [[{**event, "action": name, "size": size} for name, size in actions]],
        "segments": [segment],
    }
    monkeypatch.setattr(
        torch.cuda.memory, "_record_memory_history", lambda **said: heard.append(said)
    )
    monkeypatch.setattr(torch.cuda.memory, "_snapshot", lambda: history)
    snapshot = memory.cuda_history(lambda: heard.append("the call"))
    assert heard == [{"max_entries": 1_000_000}, "the call", {"enabled": None}]

    monkeypatch.setenv("HONED_CACHE", str(tmp_path))
    timeline = Timeline((Block(8, MemoryKind.WEIGHTS, 0),), 1)
    step = SimpleNamespace(memory_timeline=lambda _: MeasuredMemory(timeline, snapshot=snapshot))
    job = SimpleNamespace(seat=SimpleNamespace(index=0))
    loaded: Any = SimpleNamespace(job=job, step=step, feeds=[None], on_phase=ignore_phase)
    part = memory_timeline.work(loaded)
    assert part is not None
    assert part.snapshot is not None
    (replayed,) = replay_snapshot(part.snapshot)
    assert replayed.requested_peak_bytes == 2048
    assert replayed.reserved_peak.error == 0


def test_recording_ends_when_the_call_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    heard: list[Any] = []
    monkeypatch.setattr(
        torch.cuda.memory, "_record_memory_history", lambda **said: heard.append(said)
    )

    def fails() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        memory.cuda_history(fails)
    assert heard[-1] == {"enabled": None}
