"""`honed.lowmem(..., engine="small")`: a callable of numpy, where torch need not be installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from small_encoders import batch_of, made

import honed
from honed.backends import torch as reference
from honed.backends.base import LoadRequest
from honed.backends.lowmem.small.sizes import Shape
from honed.case import Case
from honed.errors import UsageError

pytestmark = pytest.mark.engine

_WITHOUT_TORCH = """
import json, sys
import numpy as np
import honed
with honed.lowmem(sys.argv[1], task="sequence-classification", engine="small") as model:
    logits = model(np.array(json.loads(sys.argv[2])))["logits"]
loaded = [name for name in ("torch", "transformers", "scipy") if name in sys.modules]
print(json.dumps([logits.tolist(), loaded]))
"""


def test_a_call_gives_what_torch_gives_whatever_its_shape(tmp_path: Path) -> None:
    checkpoint = made(tmp_path, "bert", "sequence-classification")
    truth = reference.load(LoadRequest(Case(model="m"), checkpoint, 1), None)
    batch = batch_of(checkpoint)
    wanted = truth.outputs(truth.run(truth.prepare(batch)))["logits"]
    with honed.lowmem(
        str(tmp_path), memory_budget="1MiB", task="sequence-classification", engine="small"
    ) as model:
        first = model(**{name: array[:1] for name, array in batch.items()})["logits"]
        whole = model(**batch)["logits"]
    np.testing.assert_allclose(whole, wanted, atol=2e-5)
    np.testing.assert_allclose(first, wanted[:1], atol=2e-5)


@pytest.mark.parametrize("task", ["sequence-classification", "token-classification"])
def test_a_batch_that_exceeds_the_budget_goes_in_parts(tmp_path: Path, task: str) -> None:
    checkpoint = made(tmp_path, "bert", task)
    ids = np.random.default_rng(0).integers(5, 20, (30, 12))
    with honed.lowmem(str(tmp_path), task=task, engine="small") as model:
        wanted = model(ids)["logits"]
        one, all_rows = (model._step.needed(Shape(rows, 12)) for rows in (1, 30))
        assert model._step.needed_bytes >= all_rows > one
    with honed.lowmem(str(tmp_path), "1GiB", task, engine="small") as model:
        largest = model._step.needed_bytes  # of the longest sequence alone
    assert checkpoint.task == task
    budget_bytes = largest + (all_rows - one) // 4
    with honed.lowmem(str(tmp_path), f"{budget_bytes}B", task, engine="small") as model:
        budget_bytes = model._budget_bytes or 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = model(ids)["logits"]
        assert model._step.needed_bytes <= budget_bytes
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_torch_need_not_be_installed(tmp_path: Path) -> None:
    checkpoint = made(tmp_path / "model", "bert", "sequence-classification")
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "torch.py").write_text("raise ImportError('No module named torch')")
    ids = batch_of(checkpoint)["input_ids"][:1]
    command = [
        sys.executable,
        "-c",
        _WITHOUT_TORCH,
        str(checkpoint.folder),
        json.dumps(ids.tolist()),
    ]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(blocked)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    logits, loaded = json.loads(done.stdout)
    with honed.lowmem(
        str(checkpoint.folder), task="sequence-classification", engine="small"
    ) as model:
        np.testing.assert_allclose(logits, model(ids)["logits"], atol=1e-6)
    assert loaded == []


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "bert")
    with pytest.raises(UsageError, match="no engine numpy"):
        honed.lowmem(str(tmp_path), engine="numpy")  # type: ignore[call-overload]
