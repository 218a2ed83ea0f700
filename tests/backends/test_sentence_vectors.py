"""Each engine computes what sentence-transformers computes for a folder: to 1e-5 in fp32."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine_steps
import numpy as np
import pytest
from sentence_folders import HIDDEN, MODES, TEXTS, change_json, dense, encoded, saved

from honed.backends.base import LoadRequest
from honed.case import Case
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.inputs import tokenised_inputs
from honed.models.obtain import locate

pytestmark = pytest.mark.engine

ENGINES = ("torch", "onnxruntime", "openvino", "keras", "ctranslate2")
PROMPT = "the red river "


def modes_alone(root: Path) -> Path:
    return saved(root, MODES)


def layers(root: Path) -> Path:
    import torch
    from sentence_transformers.sentence_transformer.modules import Normalize

    return saved(
        root, ("mean", "max"),
        dense(2 * HIDDEN, 24, torch.nn.Tanh()),
        dense(24, 24, torch.nn.GELU(), bias=False, use_residual=True),
        dense(24, 16, torch.nn.Identity(), use_residual=True),
        Normalize(),
    )  # fmt: skip


def prompt_left_out(root: Path) -> Path:
    from sentence_transformers.sentence_transformer.modules import Pooling

    pooling = Pooling(HIDDEN, pooling_mode=MODES, include_prompt=False)
    return saved(root, pooling, prompts={"q": PROMPT}, default_prompt_name="q")


FOLDERS: dict[str, Callable[[Path], Path]] = {
    made.__name__: made for made in (modes_alone, layers, prompt_left_out)
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    return {name: make(root / name) for name, make in FOLDERS.items()}


def at(folder: Path) -> Checkpoint:
    found = locate(ModelRequest(str(folder)))
    assert found is not None
    return found


def vectors_of(folder: Path, batch_size: int = 2, **changes: Any) -> Any:
    """The engine's vectors of the texts, in their order."""
    checkpoint = at(folder)
    inputs = tokenised_inputs(checkpoint, TEXTS, batch_size, 32)
    step = engine_steps.opened(LoadRequest(Case(model=str(folder), **changes), checkpoint, 1))
    outputs = [engine_steps.outputs(step, batch)["embedding"] for batch in inputs.batches]
    step.close()
    return np.concatenate(outputs)[np.argsort(inputs.order or range(len(TEXTS)))]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FOLDERS)
def test_every_engine_gives_the_librarys_vectors(
    folders: dict[str, Path], name: str, engine: str
) -> None:
    got = vectors_of(folders[name], backend=engine)
    np.testing.assert_allclose(got, encoded(folders[name]), atol=1e-5)


@pytest.mark.parametrize("mode", ["compile", "aoti", "torchscript"])
def test_so_does_every_mode_of_torch(folders: dict[str, Path], mode: str) -> None:
    # One batch of all texts: torch.compile makes a graph for each shape.
    got = vectors_of(folders["layers"], len(TEXTS), knobs={"torch.mode": mode})
    np.testing.assert_allclose(got, encoded(folders["layers"]), atol=1e-5)


def test_a_last_layer_of_odd_size_runs_in_every_precision(folders: dict[str, Path]) -> None:
    """One row a text, and sizes that kernels for int4 and int8 do not take, or barely."""
    for engine, precisions in (
        ("torch", ("bf16", "int8", "int4")),
        ("onnxruntime", ("int8", "int4")),
        ("openvino", ("bf16", "int8", "int4")),
        ("keras", ("bf16", "int8")),
        ("ctranslate2", ("int8",)),
    ):
        for precision in [p for p in precisions if p in engine_steps.precisions_here(engine)]:
            got = vectors_of(folders["layers"], backend=engine, precision=precision)
            assert got.shape == (len(TEXTS), 16)
            np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-2)


def test_pairs_are_judged_by_the_vectors_behind_every_module(tmp_path: Path) -> None:
    """Scores that are cosines of the library's vectors are met exactly, through the whole of a
    measurement: cached, exported, sent to a worker."""
    import torch

    folder = saved(tmp_path, "mean", dense(HIDDEN, 8, torch.nn.Tanh()))
    texts = [f"{a} {b} {c}" for a in ("the", "cat") for b in ("sun", "far") for c in ("dog", "on")]
    vectors = encoded(folder, texts)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scored = sorted(
        (float(vectors[i] @ vectors[j]), texts[i], texts[j])
        for i in range(len(texts))
        for j in range(i)
    )
    # Kernels of different processors round differently, so pairs whose ranks hang on that are left
    # out: each score is at least 5e-6 above the one before it.
    pairs: list[dict[str, Any]] = []
    for score, text, text2 in scored:
        if not pairs or score - pairs[-1]["score"] >= 5e-6:
            pairs.append({"text": text, "text2": text2, "score": score})
    assert len(pairs) > 10
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    case = Case(
        model=str(folder), backend="onnxruntime", eval=str(file), sequence_length=16,
        memory=False, duration_s=0.05, min_samples=3, warmup_s=0.2,
    )  # fmt: skip
    record = engine_steps.measure_here(case)
    assert record.error is None
    assert record.accuracy is not None
    assert record.accuracy.value == pytest.approx(1, abs=1e-6)
    change_json(folder / "2_Dense/config.json", activation_function="torch.nn.ReLU")
    # Nothing that was cached for the old activation is used again.
    other = engine_steps.measure_here(case)
    assert other.accuracy is not None
    assert other.accuracy.value < 1
