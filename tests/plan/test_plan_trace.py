"""Tracing on fake tensors: lifetimes, names, kinds and kernels."""

from __future__ import annotations

import dataclasses

import pytest

from honed.errors import UnsupportedError
from honed.models.checkpoint import ModelRequest
from honed.plan.answer import subject
from honed.plan.settings import Optimizer, Settings
from honed.plan.tracing import Subject, trace
from honed.timeline import Block, MemoryKind, StepPhase, Timeline

pytestmark = pytest.mark.engine

TRAIN = Settings(mode="train", batch_size=2, sequence_length=16)


@pytest.fixture(scope="module")
def tiny() -> Subject:
    return subject(ModelRequest("tiny-bert", task="sequence-classification"))


def traced(function, *, real: bool = False) -> Timeline:
    """The timeline of a function of torch."""
    import contextlib

    from honed.models.torch.tracer import Tracer
    from honed.plan.fakes import FakeTracer, fake_mode

    tracer = Tracer() if real else FakeTracer()
    with contextlib.nullcontext() if real else fake_mode(), tracer:
        function()
    return tracer.timeline()


def of_kind(timeline: Timeline, kind: MemoryKind) -> list[Block]:
    return [block for block in timeline.blocks if block.kind is kind]


@pytest.mark.parametrize("real", [False, True])
def test_lifetimes_are_those_of_names(real: bool) -> None:
    import torch

    def program() -> None:
        a = torch.zeros(100)
        b = a + 1  # 800 bytes are alive
        del a
        b.mul_(2)  # in place, and a view: nothing new
        c = b.view(10, 10).t()
        d = c + 1
        del b, c, d

    timeline = traced(program, real=real)
    assert timeline.alive_bytes() == [400, 800, 400, 800, 400, 0]
    assert [block.op for block in timeline.blocks] == ["aten.zeros", "aten.add", "aten.add"]


def test_a_question_about_a_mask_is_answered_and_a_number_is_not() -> None:
    import torch

    from honed.plan.fakes import ValueNeededError

    def asks() -> None:
        assert torch.ones(3, dtype=torch.bool).all()
        assert torch.ones(()).item() == 1.0

    traced(asks)
    with pytest.raises(ValueNeededError):
        traced(lambda: torch.ones((), dtype=torch.int64).item())


def test_blocks_have_the_names_of_modules_in_both_passes(tiny: Subject) -> None:
    timeline = trace(tiny, TRAIN).timeline
    for phase in (StepPhase.FORWARD, StepPhase.BACKWARD):
        modules = {b.module for b in timeline.blocks if b.phase is phase}
        assert "bert.encoder.layer.1.output.dense" in modules
        assert "bert.embeddings.LayerNorm" in modules
    assert {span.step for span in timeline.spans} == {0, 1}


def test_gradients_and_state_have_the_size_of_the_weights(tiny: Subject) -> None:
    found = trace(tiny, TRAIN)
    gradients = of_kind(found.timeline, MemoryKind.GRADIENTS)
    assert sum(b.size_bytes for b in gradients) == 2 * found.weights_bytes  # of two steps
    state = of_kind(found.timeline, MemoryKind.OPTIMIZER)
    assert sum(b.size_bytes for b in state) == 2 * found.weights_bytes
    assert all(b.phase is StepPhase.OPTIMIZER and b.died is None for b in state)
    weights = of_kind(found.timeline, MemoryKind.WEIGHTS)
    assert sum(b.size_bytes for b in weights) >= found.weights_bytes


def test_held_gradients_are_made_once(tiny: Subject) -> None:
    held = dataclasses.replace(TRAIN, optimizer=Optimizer("sgd", holds_gradients=True))
    found = trace(tiny, held)
    gradients = of_kind(found.timeline, MemoryKind.GRADIENTS)
    alive = [b for b in gradients if b.died is None]
    assert sum(b.size_bytes for b in alive) == found.weights_bytes
    assert of_kind(found.timeline, MemoryKind.OPTIMIZER) == []


@pytest.mark.parametrize("loop", ["foreach", "fused", "for_loop"])
def test_the_temporaries_of_an_update(tiny: Subject, loop: str) -> None:
    """All weights at once for foreach, none for fused, one tensor after the other for a loop."""
    settings = dataclasses.replace(TRAIN, optimizer=Optimizer("adamw", loop))
    found = trace(tiny, settings)
    update = found.timeline.peak(StepPhase.OPTIMIZER, step=1)
    assert update is not None
    temporaries = update.by_kind["temporaries"]
    if loop == "foreach":
        assert temporaries >= found.weights_bytes
    elif loop == "fused":
        assert temporaries <= 1024
    else:
        largest = 1000 * 32 * 4  # the word embeddings
        assert temporaries == 2 * largest


def test_accumulation_runs_several_batches_before_an_update(tiny: Subject) -> None:
    settings = dataclasses.replace(TRAIN, optimizer=Optimizer(accumulation=3))
    phases = [span.phase for span in trace(tiny, settings).timeline.spans if span.step == 0]
    assert phases == [*[StepPhase.FORWARD, StepPhase.BACKWARD] * 3, StepPhase.OPTIMIZER]


def kept(subject: Subject, settings: Settings) -> int:
    """The activations at the peak of the backward pass of the second step."""
    peak = trace(subject, settings).timeline.peak(StepPhase.BACKWARD, step=1)
    assert peak is not None
    return peak.by_kind["activations"]


def test_checkpointing_and_fused_attention_keep_less(tiny: Subject) -> None:
    long = dataclasses.replace(TRAIN, sequence_length=128)
    eager = kept(tiny, dataclasses.replace(long, attention="eager"))
    fused = kept(tiny, dataclasses.replace(long, attention="sdpa"))
    checkpointed = kept(tiny, dataclasses.replace(long, checkpointing="blocks"))
    assert checkpointed < fused < eager


def test_dropout_on_a_gpu_keeps_one_byte_per_element(tiny: Subject) -> None:
    on_gpu = trace(tiny, TRAIN).timeline
    made = [b for b in on_gpu.blocks if b.op == "aten.native_dropout"]
    embeddings = {b.size_bytes for b in made if b.module == "bert.embeddings.dropout"}
    assert embeddings == {4 * 2 * 16 * 32, 2 * 16 * 32}  # the output in fp32, and the mask
    on_cpu = trace(tiny, dataclasses.replace(TRAIN, device="cpu")).timeline
    assert not any(b.op == "aten.native_dropout" for b in on_cpu.blocks)


def test_the_flash_kernel_takes_16_bit_types_only(tiny: Subject) -> None:
    flash = Settings(attention="flash", batch_size=2, sequence_length=64)
    with pytest.raises(UnsupportedError, match="float32") as refused:
        trace(tiny, flash)
    assert "precision=bf16" in refused.value.hint
    timeline = trace(tiny, dataclasses.replace(flash, dtype="bfloat16")).timeline
    assert any("flash" in block.op for block in timeline.blocks)


def test_flash_attention_keeps_one_number_for_each_row_of_the_scores_and_no_scores(
    tiny: Subject,
) -> None:
    """The logarithm of the sum, in fp32, of each of two heads; the tiny model is 32 wide."""
    batch, length, heads = 2, 64, 2
    shape = {"batch_size": batch, "sequence_length": length, "dtype": "bfloat16"}
    eager, flash = (
        trace(tiny, dataclasses.replace(TRAIN, attention=kind, **shape)).timeline
        for kind in ("eager", "flash")
    )
    kept = {b.size_bytes for b in flash.blocks if "flash_attention" in b.op}
    assert {batch * heads * length * 4, batch * length * 32 * 2} <= kept
    scores = batch * heads * length * length * 2
    assert any(b.size_bytes == scores for b in eager.blocks)
    assert not any(b.size_bytes >= scores for b in flash.blocks if "attention" in b.module)


def test_autocast_on_a_gpu_gives_each_operator_its_type() -> None:
    """The types that CUDA's autocast gives a linear layer, a norm, logits, a loss, gradients."""
    import torch

    from honed.plan.cuda import CudaKernels
    from honed.plan.fakes import fake_mode

    with fake_mode():
        first, norm = torch.nn.Linear(8, 8), torch.nn.LayerNorm(8)
        last = torch.nn.Linear(8, 3)
        labels = torch.zeros(4, dtype=torch.int64)
        with CudaKernels("auto", "float16"):
            hidden = first(torch.zeros(4, 8))
            normed = norm(torch.relu(hidden))
            logits = last(normed)
            loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        assert first.weight.grad is not None
        types = [hidden.dtype, normed.dtype, logits.dtype, loss.dtype, first.weight.grad.dtype]
    half, single = torch.float16, torch.float32
    assert types == [half, single, half, single, single]
