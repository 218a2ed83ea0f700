"""The small engine beyond the contract: families, heads, types, shards, padding, what it holds."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_folders
import threadpoolctl
from small_encoders import TASKS, batch_of, made

from honed.backends import lowmem
from honed.backends import torch as reference
from honed.backends.base import LoadRequest
from honed.backends.lowmem import mapped
from honed.backends.lowmem.small.sizes import LADDER, Sizes
from honed.backends.lowmem.small.step import SmallStep
from honed.case import Case
from honed.errors import ModelError, UnsupportedError
from honed.instruments import memory
from honed.instruments.fidelity import compare, complaint
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.obtain import materialise
from honed.units import size_bytes

pytestmark = pytest.mark.engine

SHAPES = ("bert", "roberta", "xlm-roberta", "distilbert", "electra")


@contextmanager
def opened(
    checkpoint: Checkpoint, threads: int = 1, sizes: Sizes | None = None, **changes: Any
) -> Iterator[SmallStep]:
    case = Case(model="m", backend="lowmem", sequence_length=12).replace(**changes)
    step = SmallStep(LoadRequest(case, checkpoint, threads), None, sizes)
    try:
        yield step
    finally:
        step.close()


def outputs(step: Any, batch: dict[str, Any]) -> dict[str, Any]:
    return dict(step.outputs(step.run(step.prepare(batch))))


def assert_right(checkpoint: Checkpoint, step: SmallStep, batch: dict[str, Any]) -> None:
    """The outputs of the real tokens are those of torch."""
    truth = reference.load(LoadRequest(Case(model="m"), checkpoint, 1), None)
    wanted, found = outputs(truth, batch), outputs(step, batch)
    assert set(wanted) == set(found)
    mask = batch["attention_mask"].astype(bool)
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        per_token = array.shape[:2] == mask.shape
        pair = (found[name][mask], array[mask]) if per_token else (found[name], array)
        np.testing.assert_allclose(*pair, atol=2e-5 * np.abs(array).max())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model_type", SHAPES)
def test_every_family_and_head_gives_torchs_outputs(
    tmp_path: Path, model_type: str, task: str
) -> None:
    checkpoint = made(tmp_path, model_type, task)
    with opened(checkpoint) as step:
        assert_right(checkpoint, step, batch_of(checkpoint))


@pytest.mark.parametrize("pooling", ["mean", "cls", "none"])
def test_pooling_leaves_padding_out(tmp_path: Path, pooling: str) -> None:
    checkpoint = made(tmp_path, "bert", pooling=pooling)
    with opened(checkpoint) as step:
        assert_right(checkpoint, step, batch_of(checkpoint))


def test_kept_pages_are_multiplied_in_the_map(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "bert")
    batch = batch_of(checkpoint)
    with opened(checkpoint, knobs={"lowmem.engine": "small", "lowmem.pages": "kept"}) as step:
        assert_right(checkpoint, step, batch)
        assert step.read_back()["lowmem.pages"] == "kept"


def test_a_small_model_keeps_its_pages_where_the_budget_allows_it(tmp_path: Path) -> None:
    checkpoint = made(tmp_path / "fp32", "bert", hidden_size=256, intermediate_size=1024)
    matrices = 2 * (4 * 256 * 256 + 2 * 256 * 1024) * 4
    needed = {}
    for budget, pages in ((None, "kept"), ("64MiB", "kept"), ("4MiB", "released")):
        with opened(checkpoint, memory_budget=budget) as step:
            outputs(step, batch_of(checkpoint))
            assert step.read_back()["lowmem.pages"] == pages
            needed[budget] = step.needed_bytes
    with opened(checkpoint, knobs={"lowmem.pages": "released"}) as step:
        outputs(step, batch_of(checkpoint))
        assert needed["64MiB"] == step.needed_bytes + matrices
    narrow = made(tmp_path / "bf16", "bert", dtype="bfloat16")
    with opened(narrow) as step:
        outputs(step, batch_of(narrow))
        assert step.read_back()["lowmem.pages"] == "released"


def test_pages_of_the_map_are_given_back_after_each_product(tmp_path: Path) -> None:
    """The layers have 54 MiB; at most two panels of 4 MiB are in use at once."""
    checkpoint = made(tmp_path, "bert", hidden_size=768, intermediate_size=3072)
    batch, before = batch_of(checkpoint), memory.status().file_bytes
    with opened(checkpoint, 2, knobs={"lowmem.pages": "released"}) as step:
        feed = step.prepare(batch)
        with memory.ResidentPeak() as peak:
            step.run(feed)
        assert step.uses_map
    assert peak.file_bytes is not None
    assert peak.file_bytes - before < 24 * 2**20


def test_without_a_lease_weights_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = made(tmp_path, "bert")
    monkeypatch.setattr(mapped._MappedFile, "lease", lambda self: None)
    with opened(checkpoint, 2) as step:
        assert_right(checkpoint, step, batch_of(checkpoint))
        assert not step.uses_map


@pytest.mark.parametrize("threads", [1, 2, 3])  # more threads than attention heads
def test_any_number_of_threads_gives_the_same(tmp_path: Path, threads: int) -> None:
    checkpoint = made(tmp_path, "electra", "sequence-classification")
    with opened(checkpoint, threads) as step:
        assert step.read_back()["threads"] == threads
        assert_right(checkpoint, step, batch_of(checkpoint))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_of_16_bits_are_computed_in_32(tmp_path: Path, dtype: str) -> None:
    checkpoint = made(tmp_path, "bert", "masked-lm", dtype=dtype)
    with opened(checkpoint, 2) as step:
        assert_right(checkpoint, step, batch_of(checkpoint))
        assert step.read_back()["precision"] == "fp32"


def test_shards(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "roberta", shard="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    with opened(checkpoint, 2) as step:
        assert_right(checkpoint, step, batch_of(checkpoint))


@pytest.mark.parametrize("tokens", [4, 14, 21, 25])
def test_batches_of_several_groups(tmp_path: Path, tokens: int) -> None:
    """A sequence longer than a group is one by itself, and goes through the feed-forward in
    pieces; scores and panels that do not fit their memory are cut too."""
    checkpoint = made(tmp_path, "bert")
    with opened(checkpoint, 2, Sizes(tokens, panel=100, scores=16)) as step:
        assert_right(checkpoint, step, batch_of(checkpoint))


def test_batches_of_other_sizes_one_after_another(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "distilbert")
    with opened(checkpoint, 2) as step:
        for length in (12, 30, 10):
            assert_right(checkpoint, step, batch_of(checkpoint, length))


@pytest.mark.parametrize("mode", sentence_folders.MODES)
def test_every_pooling_and_the_layers_behind_it(tmp_path: Path, mode: str) -> None:
    """A dense layer with weights of its own, then a vector of length 1."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    torch.manual_seed(1)
    dense = Dense(sentence_folders.HIDDEN, 20)
    folder = sentence_folders.saved(tmp_path, mode, dense, Normalize())
    checkpoint = materialise(ModelRequest(str(folder)))
    with opened(checkpoint, 2) as step:
        assert_right(checkpoint, step, batch_of(checkpoint))


def test_padding_that_comes_before_the_tokens_is_refused(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "bert")
    batch = batch_of(checkpoint)
    batch["attention_mask"][0, :2] = 0
    with opened(checkpoint) as step, pytest.raises(UnsupportedError, match="before") as refused:
        step.prepare(batch)
    assert "torch" in refused.value.hint


def test_a_sequence_without_tokens_is_refused(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "bert")
    batch = batch_of(checkpoint)
    batch["attention_mask"][1] = 0
    with opened(checkpoint) as step, pytest.raises(UnsupportedError, match="no tokens"):
        step.prepare(batch)


def test_a_model_that_it_does_not_compute_is_refused(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "bert", is_decoder=True)
    with pytest.raises(UnsupportedError, match="this bert") as refused, opened(checkpoint):
        pass
    assert refused.value.hint == "lowmem.engine=torch"


def test_a_file_that_changes_between_two_calls_is_an_error(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "bert")
    batch = batch_of(checkpoint)
    with opened(checkpoint, 2) as step:
        outputs(step, batch)
        file = tmp_path / "model.safetensors"
        os.truncate(file, file.stat().st_size // 2)
        with pytest.raises(ModelError) as refused:
            outputs(step, batch)
        assert refused.value.hint


def test_closing_gives_the_blas_its_threads_and_the_files_back(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "bert")
    before, files = threadpoolctl.threadpool_info(), len(os.listdir("/proc/self/fd"))
    with opened(checkpoint, 3):
        assert all(p["num_threads"] == 1 for p in threadpoolctl.threadpool_info()
                   if p["user_api"] == "blas")  # fmt: skip
    assert threadpoolctl.threadpool_info() == before
    assert len(os.listdir("/proc/self/fd")) == files


@pytest.mark.parametrize("task", ["feature-extraction", "masked-lm"])
@pytest.mark.parametrize("padded", [True, False])
def test_the_reported_peak_is_what_python_and_numpy_allocate(
    tmp_path: Path, task: str, padded: bool
) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 256, "vocab_size": 3000}
    checkpoint = made(tmp_path, "bert", task, **sizes)
    batch = batch_of(checkpoint, 40)
    if not padded:
        batch["attention_mask"][:] = 1
    tracemalloc.start()
    try:
        with opened(checkpoint, 2) as step:
            feed = step.prepare(batch)
            step.run(feed)
            tracemalloc.reset_peak()
            raw = step.run(feed)
            _, traced = tracemalloc.get_traced_memory()
            del raw
            reported = step.tensor_peak_bytes(feed)
            assert reported is not None
            # Besides arrays Python traces its own objects: the code and the names of the tensors.
            assert reported - 16 * 1024 <= traced <= reported + 300 * 1024
            assert 0 < step.weights_bytes < checkpoint.weights_bytes / 2
    finally:
        tracemalloc.stop()


def test_a_budget_decides_the_sizes_and_the_need_is_what_is_held(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "bert", hidden_size=256, intermediate_size=1024)
    batch = batch_of(checkpoint, 40)
    batch["attention_mask"][:] = 1
    shape = {"batch_size": 3, "sequence_length": 40, "knobs": {"lowmem.pages": "released"}}
    held = []
    for budget in ("1GiB", "2MiB", "1KiB"):
        with opened(checkpoint, 2, memory_budget=budget, **shape) as step:
            feed = step.prepare(batch)
            peak = step.tensor_peak_bytes(feed)
            needed = step.read_back()["memory_needed_bytes"]
            assert isinstance(peak, int)
            assert isinstance(needed, int)
            assert needed == peak - feed.nbytes - 2 * 3 * 256 * 4  # without inputs and outputs
            assert needed <= size_bytes(budget) or budget == "1KiB"
            held.append(needed)
            assert_right(checkpoint, step, batch)
    assert held[0] > held[1] > held[2]


def test_each_rung_of_the_ladder_is_smaller() -> None:
    for larger, smaller in itertools.pairwise(LADDER):
        assert larger.tokens >= smaller.tokens
        assert larger.panel > smaller.panel
        assert larger.scores >= smaller.scores


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_converted_weights(tmp_path: Path, precision: str) -> None:
    """Right to the tolerance of the precision, and not exact, since the weights are rounded."""
    checkpoint = made(tmp_path / "model", "roberta")
    case = Case(model="m", backend="lowmem", precision=precision, sequence_length=12)
    ask = LoadRequest(case, checkpoint, 2)
    converted = tmp_path / "converted"
    converted.mkdir()
    lowmem.build(ask, converted)
    step = SmallStep(ask, converted)
    truth = reference.load(LoadRequest(Case(model="m"), checkpoint, 1), None)
    batch = batch_of(checkpoint)
    judged = compare(outputs(truth, batch), outputs(step, batch), precision)
    assert not complaint(judged)
    assert judged.cosine_min < 0.9999999  # rounded they are
    assert step.read_back()["precision"] == precision
    step.close()


def test_a_prompt_that_is_not_pooled_is_refused(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    pooling = Pooling(sentence_folders.HIDDEN, pooling_mode="mean", include_prompt=False)
    options = {"prompts": {"query": "the cat"}, "default_prompt_name": "query"}
    folder = sentence_folders.saved(tmp_path, pooling, **options)
    checkpoint = materialise(ModelRequest(str(folder)))
    with pytest.raises(UnsupportedError, match="prompt") as refused, opened(checkpoint):
        pass
    assert refused.value.hint == "lowmem.engine=torch"


def test_the_engine_imports_no_torch(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "bert")
    code = (
        "import sys\n"
        "from honed.backends.base import LoadRequest\n"
        "from honed.backends.lowmem.small.step import SmallStep\n"
        "from honed.case import Case\n"
        "from honed.models.checkpoint import ModelRequest\n"
        "from honed.models.inputs import random_inputs\n"
        "from honed.models.obtain import locate\n"
        f"model = locate(ModelRequest({str(checkpoint.folder)!r}))\n"
        "step = SmallStep(LoadRequest(Case(model='m', backend='lowmem'), model, 2))\n"
        "step.run(step.prepare(random_inputs(model, 2, 9, seed=0).batches[0]))\n"
        "heavy = {'torch', 'transformers', 'scipy', 'safetensors', 'pandas', 'ssl'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
