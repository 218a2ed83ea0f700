"""What a search and a server ask plan: formulas that take no time and import no framework."""

from __future__ import annotations

import subprocess
import sys

import pytest

from honed.models.presets import PRESETS
from honed.plan.least import Least, call_bytes, least

MIB = 2**20
BASE = PRESETS["bert-base-uncased"].config
ELECTRA = {"hidden_size": 64, "embedding_size": 16, "intermediate_size": 256, "vocab_size": 1000}


def test_weights_without_the_rows_of_the_vocabulary_and_one_layer_of_activations() -> None:
    found = least(BASE, 418 * MIB, 128)
    assert found.weights_bytes == 418 * MIB - 4 * 30522 * 768
    assert found.sequence_elements == 128 * (768 + 3072)
    assert least(ELECTRA, 10 * MIB, 8) == Least(10 * MIB - 4 * 16_000, 8 * (64 + 256))
    chunked = least({**ELECTRA, "chunk_size_feed_forward": 16}, 10 * MIB, 8)
    assert chunked.sequence_elements == 8 * 64


def test_lengths_that_differ_and_sizes_that_are_not_known_prune_nothing() -> None:
    assert least(BASE, 418 * MIB, 0).sequence_elements == 0
    assert least({"vocab_size": 9}, 418 * MIB, 128) == Least()
    assert least(BASE, MIB, 128).weights_bytes == 0


def test_every_instance_has_activations_and_weights_count_once() -> None:
    found = Least(100 * MIB, 1024)
    assert found.bytes_of("fp32", 2, 3) == 100 * MIB + 2 * 3 * 4096
    assert found.bytes_of("int8") == 25 * MIB + 1024
    assert found.bytes_of("bf16") == 50 * MIB + 2048


@pytest.mark.parametrize(("precision", "share"), [("fp32", 1.0), ("bf16", 0.5), ("int8", 1.0)])
def test_the_tensors_of_a_call(precision: str, share: float) -> None:
    """Three hidden states, and the inside of the feed forward twice: 11 units of the width."""
    found = call_bytes(BASE, "feature-extraction", precision, (8, 128))
    assert found == int(11 * 8 * 128 * 768 * 4 * share)
    assert call_bytes({"vocab_size": 9}, "masked-lm", precision, (8, 128)) is None


def test_no_framework_is_imported() -> None:
    code = "import sys, honed.plan.least; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.engine
@pytest.mark.parametrize(
    "name", ["bert-base-uncased", "modernbert-base", "distilbert-base-uncased"]
)
def test_nothing_that_runs_takes_less(name: str) -> None:
    """Torch's eager tensors, as plan traces them, are more than what a setting is pruned by."""
    from honed.models.checkpoint import ModelRequest
    from honed.plan.answer import subject
    from honed.plan.device import Device
    from honed.plan.predict import Planner
    from honed.plan.settings import Settings

    model = subject(ModelRequest(name))
    settings = Settings(batch_size=4, sequence_length=64, device="cpu")
    found = Planner(model, Device("cpu")).predict(settings)
    pruned_by = least(model.config, found.weights_bytes, 64).bytes_of("fp32", 4)
    assert pruned_by < found.requested_peak_bytes
