"""The fake checkpoint: whole without any framework."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate, materialise
from honed.models.tiny import write_safetensors, write_tiny


def read_tiny(folder):
    """The tensors of a checkpoint that `write_tiny` wrote, without the safetensors package."""
    content = (folder / "model.safetensors").read_bytes()
    data_start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:data_start])
    tensors = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        flat = np.frombuffer(content[data_start + begin : data_start + end], np.float32)
        tensors[name] = flat.reshape(tensor["shape"])
    return tensors


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_tiny(tmp_path / name, seed)
    a, b, c = ((tmp_path / n / "model.safetensors").read_bytes() for n in "abc")
    assert a == b
    assert a != c


def test_what_is_written_is_read(tmp_path):
    write_tiny(tmp_path, 0)
    tensors = read_tiny(tmp_path)
    assert {k: v.shape for k, v in tensors.items()} == {
        "embedding.weight": (1000, 16),
        "projection.weight": (16, 16),
        "projection.bias": (16,),
    }
    assert all(np.isfinite(v).all() and v.std() > 0 for v in tensors.values())


@pytest.mark.engine
def test_safetensors_reads_it_too(tmp_path):
    from safetensors.numpy import load_file

    write_tiny(tmp_path, 5)
    theirs = load_file(tmp_path / "model.safetensors")
    ours = read_tiny(tmp_path)
    assert theirs.keys() == ours.keys()
    assert all(np.array_equal(theirs[k], ours[k]) for k in ours)


@given(
    tensors=st.dictionaries(
        st.text(min_size=1, max_size=9).filter(lambda s: s != "__metadata__"),
        hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=4)),
        max_size=4,
    )
)
def test_any_tensors_survive_the_round_trip(tensors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensors")
    write_safetensors(folder / "model.safetensors", tensors)
    back = read_tiny(folder)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)


def test_as_a_named_shape():
    request = ModelRequest("tiny", seed=77)
    assert locate(request) is None
    made = materialise(request)
    assert locate(request) == made
    assert (made.source, made.task, made.pooling) == ("preset", "feature-extraction", "mean")
    assert made.weights_bytes == 4 * (1000 * 16 + 16 * 16 + 16)
    assert made.max_positions == 512
    assert not made.has_tokenizer


def test_any_task_can_be_asked_of_it():
    made = materialise(ModelRequest("tiny", task="sequence-classification"))
    assert made.task == "sequence-classification"
    assert made.pooling == "none"
    assert made.key != materialise(ModelRequest("tiny")).key


def test_neither_finding_nor_making_it_imports_a_framework():
    code = (
        "import sys; from honed.models.obtain import *;"
        "from honed.models.inputs import random_inputs;"
        "made = materialise(ModelRequest('tiny', seed=78)); random_inputs(made, 2, 8, 0);"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
