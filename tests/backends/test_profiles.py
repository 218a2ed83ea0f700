"""The profile of each engine: its shares add up, its FLOPs are those of the closed form."""

from __future__ import annotations

import engine_steps
import pytest
from test_torch_training import feed_of, step_of

from honed.models.flops import forward_flops
from honed.models.inputs import random_inputs
from honed.profile import BETWEEN, merged, rows_of

pytestmark = pytest.mark.engine


def flops(rows, **wanted: str) -> int:
    return sum(
        row.flops or 0 for row in rows if all(getattr(row, k) == v for k, v in wanted.items())
    )


def test_the_flops_of_each_module_and_phase_are_those_of_the_closed_form() -> None:
    step = step_of()
    feed = feed_of(step)
    step.run(feed)
    events = step.profile(feed)
    rows = rows_of(events, sum(event.self_s for event in events))
    assert sum(row.share for row in rows) == pytest.approx(1)
    config, tokens, width, layers = step.module.config, 4 * 8, 32, 3
    forward = forward_flops(step._request.checkpoint.config, 4, 8, "causal-lm")
    assert flops(rows, phase="forward") == forward
    assert flops(rows, phase="optimizer") == 0
    by_module = {row.module: row.flops for row in merged(rows, "module") if row.flops}
    wide, layer = config.intermediate_size, "model.layers.*"

    def product(inner: int, columns: int, times: int = layers) -> int:
        """Forward, and twice as much backward: the gradients of the inputs and of the weights."""
        return 3 * times * 2 * tokens * inner * columns

    scores = 2 * 4 * 8 * 8 * width * layers  # one product of attention in all layers
    # Every module with a product, and no other one. The fused kernel computes the scores again in
    # its backward pass.
    assert by_module == {
        **{f"{layer}.self_attn.{name}_proj": product(width, width) for name in "qkvo"},
        f"{layer}.self_attn": (2 + 5) * scores,
        f"{layer}.mlp.gate_proj": product(width, wide),
        f"{layer}.mlp.up_proj": product(width, wide),
        f"{layer}.mlp.down_proj": product(wide, width),
        "lm_head": product(width, config.vocab_size, times=1),
    }
    phases = {row.phase for row in rows}
    assert phases == {"forward", "backward", "optimizer"}


def test_most_of_the_backward_pass_belongs_to_a_module() -> None:
    step = step_of()
    feed = feed_of(step)
    step.run(feed)
    backward = [event for event in step.profile(feed) if event.phase == "backward"]
    products = [event for event in backward if event.flops]
    assert products
    assert all(event.module for event in products)


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_engines_for_inference_have_the_same_table(engine: str) -> None:
    loaded = engine_steps.loaded(engine)
    step = loaded.step
    feed = step.prepare(random_inputs(loaded.request.checkpoint, 2, 12, seed=1).batches[0])
    step.run(feed)
    events = step.profile(feed)
    ops = {event.op for event in events}
    assert BETWEEN in ops
    assert len(ops) > 3
    assert {event.phase for event in events} == {"forward"}
    assert all(event.self_s >= 0 for event in events)
    if engine != "torch":  # a product with weights, counted by hand
        products = {event.flops for event in events if event.flops}
        assert 2 * (2 * 12) * 32 * 32 in products
    if engine == "onnxruntime":  # its fused attention has its FLOPs too, as torch's has
        config, task = loaded.request.checkpoint.config, loaded.request.checkpoint.task
        whole = sum(event.flops or 0 for event in events)
        pooler = 2 * 2 * 32 * 32  # unused by a mean, so it is not in the exported graph
        assert whole == forward_flops(config, 2, 12, task) - pooler
    call_s = max(event.total_s for event in events)
    assert sum(event.self_s for event in events) == pytest.approx(call_s, rel=0.05)
