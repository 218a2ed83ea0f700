"""Published tables of memory, which predictions with BERT's operators of 2019 must reproduce."""

from __future__ import annotations

import dataclasses

import pytest

from honed.models.checkpoint import ModelRequest
from honed.plan.answer import subject
from honed.plan.device import Device
from honed.plan.predict import Planner
from honed.plan.settings import Settings

pytestmark = pytest.mark.engine

MIB = 2**20
BASE = Settings(operators="2019")

# The notes "BERT memory consumption": torch.cuda.memory_allocated in whole MiB after a forward
# pass, BERT base with a classifier, fp32, without dropout; torch 1.2 on a GPU of 11.17 GiB.
WITH_GRADIENTS = {
    (1, 512): 1237, (1, 256): 745, (1, 128): 572, (4, 512): 3610, (8, 512): 6803,
    (4, 128): 1009, (8, 128): 1582, (16, 128): 2747,
}  # fmt: skip
WITHOUT_GRADIENTS = {(4, 512): 418, (256, 512): 419}
# The largest power of two that ran: gradients or not, length.
LARGEST = {("forward_grad", 512): 8, ("forward_grad", 128): 64, ("infer", 512): 256}
CAPACITY_BYTES = int(11.17 * 2**30)

# The "BERT demo" of the low-memory method pylomin: allocated_bytes.all.peak in MiB, BERT of 24
# layers of 1024 with the multilingual vocabulary, 512 tokens.
STRATEGIES = {
    ("resident", 1): 1672.234375, ("resident", 2): 1718.246094, ("resident", 4): 1810.269531,
    ("lazy", 1): 469.003906, ("lazy", 2): 471.015625, ("lazy", 4): 475.039062,
    ("keep_embedding", 1): 512.996094, ("keep_embedding", 2): 559.007812,
    ("keep_embedding", 4): 651.03125, ("chunked_embedding", 1): 46.023438,
    ("chunked_embedding", 2): 92.035156, ("chunked_embedding", 4): 184.058594,
}  # fmt: skip


@pytest.fixture(scope="module")
def base() -> Planner:
    """BERT base on a GPU of that time, whose cuBLAS took no workspace from the allocator."""
    model = subject(ModelRequest("bert-base-uncased", task="sequence-classification"))
    return Planner(model, Device(has_workspaces=False, capacity_bytes=CAPACITY_BYTES))


@pytest.fixture(scope="module")
def multilingual() -> Planner:
    model = subject(ModelRequest("bert-base-multilingual-1024"))
    return Planner(dataclasses.replace(model, pooling="none"), Device(has_workspaces=False))


def asked(mode: str, batch_size: int, sequence_length: int) -> Settings:
    shape = {"batch_size": batch_size, "sequence_length": sequence_length}
    return dataclasses.replace(BASE, mode=mode, **shape)


@pytest.mark.parametrize("shape", WITH_GRADIENTS)
def test_what_a_forward_pass_with_gradients_keeps(base: Planner, shape: tuple[int, int]) -> None:
    found = base.predict(asked("forward_grad", *shape))
    assert found.after_bytes is not None
    assert found.after_bytes / MIB == pytest.approx(WITH_GRADIENTS[shape], rel=0.015)


@pytest.mark.parametrize("shape", WITHOUT_GRADIENTS)
def test_what_is_left_without_gradients(base: Planner, shape: tuple[int, int]) -> None:
    found = base.predict(asked("infer", *shape))
    assert found.after_bytes is not None
    assert found.after_bytes // MIB == WITHOUT_GRADIENTS[shape]


@pytest.mark.parametrize(("mode", "length"), LARGEST)
def test_the_largest_power_of_two_that_fits(base: Planner, mode: str, length: int) -> None:
    largest = base.max_batch(asked(mode, 1, length))
    assert 1 << (largest.batch_size.bit_length() - 1) == LARGEST[mode, length]
    assert largest.failure is not None
    assert largest.headroom_bytes > 0


@pytest.mark.parametrize(("strategy", "batch_size"), STRATEGIES)
def test_every_row_of_the_low_memory_table(
    multilingual: Planner, strategy: str, batch_size: int
) -> None:
    settings = dataclasses.replace(asked("infer", batch_size, 512), weights=strategy)
    found = multilingual.predict(settings)
    assert found.parameters == 426_303_488
    assert found.allocated_peak_bytes / MIB == pytest.approx(
        STRATEGIES[strategy, batch_size], abs=1e-6
    )


# The notes and the assignment that they follow give three or four digits.
LANGUAGE_MODELS = {
    "lm-small": 128.6e6, "lm-medium": 423e6, "lm-large": 969e6, "lm-xl": 1998e6, "lm-2.7b": 3407e6,
}  # fmt: skip


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_parameters_of_the_language_models(name: str) -> None:
    planner = Planner(subject(ModelRequest(name)), Device())
    found = planner.predict(Settings(sequence_length=16))
    published = LANGUAGE_MODELS[name]
    unit = 1e5 if name == "lm-small" else 1e6
    assert round(found.parameters / unit) * unit == published
