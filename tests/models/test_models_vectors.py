"""Vectors of texts: numpy and torch against the sentence-transformers library."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_folders
from sentence_folders import HIDDEN, MODES, TEXTS, dense, saved

from honed.models import vectors
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.inputs import tokenised_inputs
from honed.models.obtain import locate
from honed.models.sentence_modules import ACTIVATIONS, VectorLayer
from honed.models.tokenizer import prompt_tokens

RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.standard_normal((4, 7, 5)).astype(np.float32)
MASK = (np.arange(7) < np.array([7, 4, 2, 1])[:, None]).astype(np.int64)


def at(folder: Path, **request: Any) -> Checkpoint:
    found = locate(ModelRequest(str(folder), **request))
    assert found is not None
    return found


def in_numpy(pooling: str, left_out: int = 0) -> Any:
    shares = vectors.shares(MASK.astype(np.float32), pooling, left_out)
    return vectors.pooled(TOKENS, shares)


def in_torch(pooling: str, left_out: int = 0) -> Any:
    import torch

    from honed.models.torch.vectors import Pooling

    module = Pooling(pooling, left_out)
    return module(torch.from_numpy(TOKENS), torch.from_numpy(MASK)).numpy()


def by_the_library(modes: Any, left_out: int = 0) -> Any:
    import torch
    from sentence_transformers.sentence_transformer.modules import Pooling

    pooling = Pooling(TOKENS.shape[-1], pooling_mode=modes, include_prompt=not left_out)
    features = {
        "token_embeddings": torch.from_numpy(TOKENS),
        "attention_mask": torch.from_numpy(MASK),
        "prompt_length": left_out,
    }
    return pooling(features)["sentence_embedding"].numpy()


@pytest.mark.engine
@pytest.mark.parametrize("left_out", [0, 1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_pools_as_the_library_does(mode: str, left_out: int) -> None:
    """With three tokens left out, nothing remains of the last two texts."""
    wanted = by_the_library(mode, left_out)
    np.testing.assert_allclose(in_numpy(mode, left_out), wanted, atol=1e-6)
    np.testing.assert_allclose(in_torch(mode, left_out), wanted, atol=1e-6)


@pytest.mark.engine
def test_modes_are_joined_in_the_order_in_which_they_are_named() -> None:
    for modes in itertools.permutations(("max", "cls", "mean"), 3):
        wanted = by_the_library(modes)
        np.testing.assert_allclose(in_numpy("+".join(modes)), wanted, atol=1e-6)
        np.testing.assert_allclose(in_torch("+".join(modes)), wanted, atol=1e-6)


@pytest.mark.engine
@pytest.mark.parametrize("mode", ["mean", "weightedmean"])
def test_sums_of_bf16_tokens_are_fp32(mode: str) -> None:
    """257 tokens cannot be counted in bf16, and neither can the sum of their places."""
    import torch

    from honed.models.torch.vectors import Pooling

    tokens = torch.ones(1, 257, 3, dtype=torch.bfloat16)
    vector = Pooling(mode)(tokens, torch.ones(1, 257, dtype=torch.int64))
    assert vector.dtype == torch.bfloat16
    assert vector.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.engine
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_in_numpy_is_torchs(activation: str) -> None:
    import torch

    x = np.linspace(-30, 30, 2001, dtype=np.float32).reshape(1, -1)
    layer = VectorLayer("dense", None, 2001, 2001, activation)
    got = vectors.transformed(x, [layer], {"0.linear.weight": np.eye(2001, dtype=np.float32)})
    wanted = getattr(torch.nn, activation)()(torch.from_numpy(x)).numpy()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, atol=2e-6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every mode, then three layers with different activations, biases and residuals."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dropout, Normalize

    return saved(
        tmp_path_factory.mktemp("whole"), MODES,
        dense(HIDDEN * len(MODES), 24, torch.nn.Tanh()),
        dense(24, 24, torch.nn.GELU(), bias=False, use_residual=True),
        Dropout(0.3),
        dense(24, 12, torch.nn.Identity(), use_residual=True),
        Normalize(),
    )  # fmt: skip


@pytest.mark.engine
def test_a_folder_says_which_layers_run(whole: Path) -> None:
    found = at(whole)
    assert found.pooling == "+".join(MODES)
    assert [layer.kind for layer in found.layers] == ["dense", "dense", "dense", "normalize"]
    assert [layer.activation for layer in found.layers[:3]] == ["Tanh", "GELU", "Identity"]
    assert [layer.bias for layer in found.layers[:3]] == [True, False, True]
    assert [layer.residual for layer in found.layers[:3]] == [False, True, True]
    plain = at(whole, pooling="none")
    bytes_of_layers = 4 * (6 * HIDDEN * 24 + 24 + 24 * 24 + 2 * 24 * 12 + 12)
    assert found.weights_bytes == plain.weights_bytes + bytes_of_layers
    assert found.key != plain.key


@pytest.mark.engine
def test_layers_in_numpy_are_the_librarys(whole: Path) -> None:
    """The library's own output for the tokens of honed's transformer."""
    import torch

    from honed.models.torch.module import load_module
    from honed.models.torch.vectors import tensors_of

    found = at(whole)
    (batch,) = tokenised_inputs(found, TEXTS, len(TEXTS), 32).batches
    with torch.no_grad():
        inputs = {name: torch.from_numpy(ids) for name, ids in batch.items()}
        tokens = load_module(found)(**inputs).last_hidden_state.numpy()
    shares = vectors.shares(batch["attention_mask"].astype(np.float32), found.pooling)
    got = vectors.transformed(vectors.pooled(tokens, shares), found.layers, tensors_of(found))
    np.testing.assert_allclose(got, sentence_folders.encoded(whole), atol=1e-5)


@pytest.mark.engine
@pytest.mark.parametrize("prompt", ["the red river ", "the red river"])
def test_tokens_of_a_prompt_are_counted_as_the_library_counts_them(
    tmp_path: Path, prompt: str
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    pooling = Pooling(HIDDEN, pooling_mode="mean", include_prompt=False)
    folder = saved(tmp_path, pooling, prompts={"q": prompt}, default_prompt_name="q")
    found = at(folder)
    assert not found.pools_prompt
    theirs = SentenceTransformer(str(folder), device="cpu")
    assert prompt_tokens(found) == theirs[0]._get_prompt_length(prompt) == 4  # with [CLS]
    sentence_folders.change_json(folder / "1_Pooling/config.json", include_prompt=True)
    assert prompt_tokens(at(folder)) == 0
    assert at(folder).key != found.key
