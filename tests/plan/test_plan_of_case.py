"""The plan of a Case beside the measured memory of the same step."""

from __future__ import annotations

from typing import Any

import pytest

from honed.backends.base import LoadRequest, load_backend
from honed.case import Case
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise
from honed.plan.of_case import Planners, settings_of
from honed.step import StepKind

SIZES = {
    "model.d_model": 64, "model.d_ff": 128, "model.num_layers": 3, "model.num_heads": 2,
    "model.vocab_size": 500, "model.context_length": 64,
}  # fmt: skip
PLANNERS = Planners()


def training(**knobs: Any) -> Case:
    precision = knobs.pop("precision", "fp32")
    return Case(model="lm-small", workload="train_step", batch_size=4, sequence_length=32,
                precision=precision, knobs={**SIZES, **knobs})  # fmt: skip


@pytest.mark.engine
@pytest.mark.parametrize(
    "knobs",
    [
        {}, {"precision": "bf16"}, {"until": "forward"},
        {"until": "backward", "checkpointing": "blocks"},
        {"until": "backward", "checkpointing": "nested", "model.num_layers": 9},
        {"checkpointing": "nested", "precision": "bf16", "model.num_layers": 5},
        {"until": "backward", "accumulation_steps": 2},
        {"accumulation_steps": 4, "checkpointing": "blocks", "clipping": "on"},
        {"optimizer": "sgd", "optimizer_kernel": "foreach", "accumulation_steps": 2},
    ],
    ids=str,
)  # fmt: skip
def test_the_planned_peak_of_a_step_is_the_measured_one(knobs: dict[str, Any]) -> None:
    case = training(**knobs)
    model = materialise(ModelRequest.from_case(case))
    backend = load_backend("torch")
    backend.start()
    step: Any = backend.load(LoadRequest(case, model, 1, step=StepKind.TRAINING), None)
    feed = step.prepare(random_inputs(model, 4, 32, seed=1).batches[0])
    step.run(feed)  # makes the state of the optimizer
    measured = step.memory_timeline(feed).timeline
    expected = PLANNERS.expect(case)
    assert expected is not None
    assert expected.peak_bytes == pytest.approx(measured.peak().size_bytes, rel=0.01)
    assert expected.most_bytes >= expected.peak_bytes
    phases = [span.phase for span in measured.spans]
    assert [span.phase for span in expected.timeline.spans] == phases


@pytest.mark.parametrize(
    "case",
    [
        Case(model="lm-small", backend="onnxruntime"),
        Case(model="lm-small", precision="int8"),
        Case(model="none", workload="attention"),
        training(**{"torch.mode": "compile"}),
        Case(model="lm-small", lengths="8..64"),
    ],
    ids=lambda case: case.label(),
)
def test_what_a_plan_does_not_know_has_none(case: Case) -> None:
    assert settings_of(case) is None
    assert PLANNERS.expect(case) is None


def test_a_forward_pass_is_planned_as_inference() -> None:
    settings = settings_of(Case(model="lm-small", batch_size=2, sequence_length=64))
    assert settings is not None
    assert (settings.mode, settings.device, settings.batch_size) == ("infer", "cpu", 2)
