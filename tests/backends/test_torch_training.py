"""The training step of torch with a tiny model: phases, optimizers, memory, refusals."""

from __future__ import annotations

import time
from typing import Any

import pytest

from honed.backends.base import LoadRequest, load_backend
from honed.backends.torch import compiled_attention
from honed.case import Case
from honed.errors import OutOfMemoryError, UnsupportedError
from honed.instruments.fidelity import compare, complaint
from honed.machine import limits
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise
from honed.step import StepKind

pytestmark = pytest.mark.engine
MODEL = "lm-small"
SIZES = {
    "model.d_model": 32, "model.d_ff": 64, "model.num_layers": 3, "model.num_heads": 2,
    "model.vocab_size": 100, "model.context_length": 64,
}  # fmt: skip


def request(model: str = MODEL, **changes: Any) -> LoadRequest:
    knobs = {**(SIZES if model == MODEL else {}), **changes.pop("knobs", {})}
    case = Case(model=model, workload="train_step", batch_size=4, sequence_length=8, knobs=knobs)
    case = case.replace(**changes)
    return LoadRequest(case, materialise(ModelRequest.from_case(case)), 1, step=StepKind.TRAINING)


def step_of(**changes: Any) -> Any:
    backend = load_backend("torch")
    backend.start()
    return backend.load(request(**changes), None)


def feed_of(step: Any, rows: int = 4, length: int = 8) -> Any:
    return step.prepare(random_inputs(step._request.checkpoint, rows, length, seed=1).batches[0])


def weights_of(step: Any) -> Any:
    return next(step.module.parameters()).detach().clone()


def test_a_step_runs_every_phase_and_changes_the_weights() -> None:
    step = step_of()
    feed, before = feed_of(step), weights_of(step)
    phased = step.run(feed)
    assert list(phased.phases_ns) == ["forward", "backward", "optimizer"]
    assert all(taken_ns > 0 for taken_ns in phased.phases_ns.values())
    assert phased.loss == pytest.approx(4.6, abs=0.5)  # ln(100): it knows nothing yet
    assert not before.equal(weights_of(step))
    assert all(parameter.grad is None for parameter in step.module.parameters())


def test_the_phases_add_up_to_the_step() -> None:
    """Of many steps the best one counts, because a busy machine may stop any of them anywhere."""
    step = step_of(knobs={"model.d_model": 256, "model.d_ff": 1024})
    feed = feed_of(step, length=64)
    step.run(feed)
    outside = []
    for _ in range(20):
        began_ns = time.perf_counter_ns()
        phased = step.run(feed)
        step_ns = time.perf_counter_ns() - began_ns
        outside.append(1 - sum(phased.phases_ns.values()) / step_ns)
    assert 0 <= min(outside) < 0.03


def test_the_loss_falls_when_the_same_batch_is_learned() -> None:
    step = step_of()
    for group in step.optimizer.param_groups:
        group["lr"] = 1e-2
    feed = feed_of(step)
    losses = [step.run(feed).loss for _ in range(8)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("until", ["forward", "backward"])
def test_a_step_that_ends_early_leaves_the_weights(until: str) -> None:
    step = step_of(knobs={"until": until})
    before = weights_of(step)
    assert list(step.run(feed_of(step)).phases_ns)[-1] == until
    assert before.equal(weights_of(step))
    assert all(parameter.grad is None for parameter in step.module.parameters())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("kernel", ["loop", "foreach", "fused"])
def test_each_optimizer_gives_the_same_weights_in_each_implementation(
    optimizer: str, kernel: str
) -> None:
    import torch

    results = []
    for which in ("loop", kernel):
        step = step_of(knobs={"optimizer": optimizer, "optimizer_kernel": which})
        step.run(feed_of(step))
        read = step.read_back()
        assert (read["optimizer"], read["optimizer_kernel"]) == (optimizer, which)
        results.append(weights_of(step))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-7)


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    import torch

    weights = []
    for parts in (1, 4):
        step = step_of(knobs={"accumulation_steps": parts, "optimizer": "sgd"})
        for group in step.optimizer.param_groups:
            group["lr"] = 1.0
        step.run(feed_of(step))
        weights.append(weights_of(step))  # before read_back, which makes a step of its own
        assert step.read_back()["accumulation_steps"] == parts
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-5)


def test_clipping_bounds_the_norm_of_the_gradients() -> None:
    change = []
    for clipping in ("off", "on"):
        step = step_of(knobs={"clipping": clipping, "optimizer": "sgd"})
        for group in step.optimizer.param_groups:
            group["lr"] = 1.0
        before = [p.detach().clone() for p in step.module.parameters()]
        step.run(feed_of(step))
        moved = zip(before, step.module.parameters(), strict=True)
        change.append(float(sum((b - p.detach()).square().sum() for b, p in moved) ** 0.5))
    assert change[0] > 1.05
    assert change[1] == pytest.approx(1.0, rel=1e-3)


def test_checkpointing_keeps_less_and_computes_the_same() -> None:
    import torch

    ways = ("off", "blocks", "nested")
    steps = [
        step_of(knobs={"checkpointing": how, "until": "backward", "model.num_layers": 9})
        for how in ways
    ]
    assert [step.read_back()["checkpointing"] for step in steps] == list(ways)
    kept = [s.after_phase_bytes(feed_of(s))["forward"] - s.weights_bytes for s in steps]
    assert kept[1] < kept[0] / 2
    # Three groups of three blocks keep six tensors of the residual stream fewer, and the state of
    # the random numbers at the beginning of each group.
    saved = 6 * 4 * 8 * 32 * 4 - 3 * torch.get_rng_state().nbytes
    assert kept[1] - kept[2] == pytest.approx(saved, rel=0.05)
    assert [checked(step) for step in steps] == ["", "", ""]


def test_nested_checkpointing_gives_the_gradients_of_encoders_too() -> None:
    step = step_of(model="tiny-bert", task="masked-lm", knobs={"checkpointing": "nested"})
    assert step.read_back()["checkpointing"] == "nested"
    assert checked(step) == ""  # the reference is computed without checkpointing


def test_attention_alone_is_compiled_and_computes_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    # Captured as always; only the code that inductor would generate is left out, for its time.
    captured = torch.compile(compiled_attention._attend, dynamic=False, backend="aot_eager")
    monkeypatch.setattr(compiled_attention, "_compiled", lambda: captured)
    weights = []
    for knobs in ({"torch.attention": "eager"}, {"torch.compiled_attention": "on"}):
        step = step_of(knobs={**knobs, "optimizer": "sgd"})
        for group in step.optimizer.param_groups:
            group["lr"] = 1.0
        step.run(feed_of(step))
        weights.append(weights_of(step))
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-6)
    read = step.read_back()
    assert (read["torch.compiled_attention"], read["torch.mode"]) == ("on", "eager")
    assert checked(step) == ""


def checked(step: Any) -> str:
    result = step.self_check()
    return complaint(compare(result.reference, result.outputs, step._case.precision))


@pytest.mark.parametrize("model", [MODEL, "tiny-bert"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_match_plain_fp32(model: str, precision: str) -> None:
    step = step_of(model=model, precision=precision)
    assert checked(step) == ""
    assert step.read_back()["precision"] == precision


def test_weights_may_be_bf16_themselves() -> None:
    step = step_of(precision="bf16", knobs={"torch.bf16": "weights"})
    assert checked(step) == ""
    read = step.read_back()
    assert (read["torch.bf16"], read["precision"]) == ("weights", "bf16")
    assert step.weights_bytes == step._request.checkpoint.weights_bytes // 2
    assert step.mixed_precision() is None


def test_gradients_of_words_that_the_batch_does_not_have_are_not_compared() -> None:
    """In float64 those of a large vocabulary would take more memory than the step."""
    step = step_of(model="tiny-bert", task="sequence-classification")
    table = next(step.module.parameters())
    result = step.self_check()
    sizes = {arrays["gradient"].shape for arrays in (result.outputs, result.reference)}
    ((rows, used),) = sizes
    assert rows == 1
    assert 0 < used <= 2 * 16 * table.shape[1] < table.numel()


def test_a_wrong_gradient_is_seen() -> None:
    step = step_of()
    plain = step._forward
    step._forward = lambda **inputs: plain(**{**inputs, "labels": inputs["labels"].flip(0)})
    assert "cosine" in checked(step)


@pytest.mark.parametrize(
    "task",
    ["feature-extraction", "sequence-classification", "token-classification",
     "question-answering", "masked-lm"],
)  # fmt: skip
def test_encoders_train_with_every_head(task: str) -> None:
    step = step_of(model="tiny-bert", task=task)
    phased = step.run(feed_of(step))
    assert phased.loss > 0
    assert checked(step) == ""


def test_memory_holds_weights_gradients_and_the_state_of_the_optimizer() -> None:
    step = step_of()
    feed = feed_of(step)
    step.run(feed)
    after = step.after_phase_bytes(feed)
    inputs = sum(tensor.nbytes for tensor in feed)
    steps = 4 * len(list(step.module.parameters()))  # AdamW counts steps in a tensor for each
    held = 3 * step.weights_bytes + inputs + steps
    assert after["optimizer"] == pytest.approx(held, abs=4096)
    assert after["backward"] == pytest.approx(held + step.weights_bytes, abs=4096)
    assert held < after["forward"] < step.tensor_peak_bytes(feed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "int8"}, "torch trains in fp32 or bf16"),
        ({"knobs": {"torch.mode": "torchscript"}}, "has no backward pass"),
        ({"knobs": {"accumulation_steps": 3}}, "cannot be split into 3 equal parts"),
        ({"knobs": {"until": "forward", "optimizer": "sgd"}}, "has no effect with until=forward"),
        ({"knobs": {"torch.packed": "on"}}, "is for inference"),
        (
            {"knobs": {"torch.mode": "compile", "checkpointing": "nested"}},
            "does not see the groups of nested checkpointing",
        ),
        (
            {"knobs": {"torch.mode": "compile", "torch.compiled_attention": "on"}},
            "compiles attention together with the rest of the model",
        ),
        (
            {"knobs": {"torch.attention": "sdpa", "torch.compiled_attention": "on"}},
            "both say how attention runs",
        ),
    ],
)
def test_settings_that_do_not_train_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message) as refused:
        step_of(**changes)
    assert refused.value.hint


def test_what_cannot_fit_is_refused_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "free_bytes", lambda: 10_000)
    with pytest.raises(OutOfMemoryError, match="weights, gradients and optimizer state take"):
        step_of()


def test_bf16_weights_are_counted_with_half_of_their_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights, gradients and the two copies of AdamW: four times the weights."""
    in_fp32 = request().checkpoint.weights_bytes
    monkeypatch.setattr(limits, "free_bytes", lambda: 3 * in_fp32)
    with pytest.raises(OutOfMemoryError):
        step_of()
    step_of(precision="bf16", knobs={"torch.bf16": "weights"})


def test_compiled_training_matches_plain_fp32() -> None:
    step = step_of(knobs={"torch.mode": "compile", "model.num_layers": 1})
    step.run(feed_of(step))
    assert checked(step) == ""
    assert step.read_back()["torch.mode"] == "compile"
