"""Mixed precision: what stays fp32, and the sums that 16 bits lose."""

from __future__ import annotations

import pytest
from test_torch_training import step_of

pytestmark = pytest.mark.engine


def test_the_experiment_with_sums_gives_the_published_numbers() -> None:
    """Of a course on language models: 10.0001, 9.9531 and 10.0021."""
    from honed.backends.torch.mixed import accumulation

    sums = accumulation()
    assert sums["float32 += float32"] == pytest.approx(10.0001, abs=5e-5)
    assert sums["float16 += float16"] == pytest.approx(9.9531, abs=5e-5)
    assert sums["float32 += float16"] == pytest.approx(10.0021, abs=5e-5)
    assert sums["float32 += float32(float16)"] == pytest.approx(10.0021, abs=5e-5)
    assert sums["bfloat16 += bfloat16"] < 5


@pytest.mark.parametrize(("precision", "narrow"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_products_are_narrow_and_norms_loss_and_gradients_stay_fp32(
    precision: str, narrow: str
) -> None:
    found = step_of(precision=precision).mixed_precision()
    by_name = {each.module: each for each in found.modules}
    assert by_name["model.layers.*.self_attn.q_proj"].output == narrow
    assert by_name["lm_head"].output == narrow
    assert by_name["model.layers.*.input_layernorm"].output == "float32"
    assert (found.autocast, found.parameters) == (narrow, "float32")
    assert (found.loss, found.gradients) == ("float32", "float32")
    assert 0 < by_name["lm_head"].relative_diff < 0.05
    assert found.gradient_relative_diff is not None
    assert 0 < found.gradient_relative_diff < 0.1


def test_without_autocast_there_is_nothing_to_observe() -> None:
    assert step_of().mixed_precision() is None


def test_modules_say_why_their_output_has_its_type() -> None:
    found = step_of(precision="bf16").mixed_precision()
    reasons = {each.module: each.why for each in found.modules}
    assert reasons["model.embed_tokens"] == "it looks rows up in its weights"
    assert reasons["model.layers.*.mlp.gate_proj"] == "autocast casts its matrix products"
    assert reasons["model.norm"] in (
        "it keeps the type of its inputs",
        "it computes in fp32, or its fp32 weights make the result fp32",
    )
