"""`honed.lowmem(..., engine="small")`: a callable of numpy, where torch need not be installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_encoders import batch_of, made

import honed
from honed.backends import torch as reference
from honed.backends.base import LoadRequest
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
