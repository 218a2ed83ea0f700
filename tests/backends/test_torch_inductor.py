"""What Inductor compiles: proofs from its graphs, artifacts of AOTInductor, static int8."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine_steps
import pytest

from honed.backends import torch as backend
from honed.backends.torch.modes import aoti
from honed.instruments.fidelity import compare, complaint
from honed.models.inputs import random_inputs

pytestmark = pytest.mark.engine


def settings(precision: str = "fp32", **knobs: Any) -> dict[str, Any]:
    return {"precision": precision, "knobs": {f"torch.{k}": v for k, v in knobs.items()}}


def artifact(precision: str = "fp32", **knobs: Any) -> Any:
    ask = engine_steps.request("torch", **settings(precision, **knobs))
    backend.check(ask.case)
    return backend.artifact(ask)


def judged(step: Any, precision: str, rows: int = 2, length: int = 11) -> str:
    """What is wrong with the outputs for a padded batch; empty when nothing is.

    The default shape is one that no other test runs, so that a shared step compiles it here. With
    a shape that another test had run, one suite run read back fp32 instead of int8; the likely
    cause, which is not shown, is that torch compiled the shape again without the Case's settings.
    """
    model = engine_steps.checkpoint("torch")
    batch = dict(random_inputs(model, rows, length, seed=length).batches[0])
    batch["attention_mask"][1:, length // 2 :] = 0
    wanted = engine_steps.reference("torch", batch)
    return complaint(compare(wanted, engine_steps.outputs(step, batch), precision))


def test_bf16_frozen_is_what_it_says() -> None:
    changes = settings("bf16", mode="compile", freezing="on")
    step = engine_steps.loaded("torch", **changes).step
    assert not judged(step, "bf16")
    facts = step.read_back()
    assert facts["precision"] == "bf16"
    assert facts["torch.freezing"] == "on"
    assert facts["torch.bf16"] == "weights"


@pytest.mark.parametrize("mode", ["compile", "aoti"])
def test_static_int8_is_calibrated_once_and_runs_integer_products(mode: str) -> None:
    loaded = engine_steps.loaded("torch", **settings("int8", int8="static", mode=mode))
    ask, step = loaded.request, loaded.step
    assert backend.artifact(ask) != backend.artifact(replace(ask, calibration=None))
    assert not judged(step, "int8")
    if mode == "aoti":  # one library takes any batch and length
        assert not judged(step, "int8", rows=1, length=24)
        assert not judged(step, "int8", rows=5, length=128)
    facts = step.read_back()
    assert facts["precision"] == "int8"
    assert facts["torch.int8"] == "static"
    assert facts["torch.mode"] == mode
    assert facts["torch.attention"] == "sdpa"
    assert facts["torch.freezing"] == "on"
    assert facts["calibration"] == str(ask.calibration)
    assert step.weights_bytes < 0.8 * ask.checkpoint.weights_bytes


def test_a_package_without_the_folders_of_this_machine_gives_the_same_outputs(
    tmp_path: Path,
) -> None:
    """The setting is one that another test has built."""
    changes = settings("int8", int8="static", mode="aoti")
    loaded = engine_steps.loaded("torch", **changes)
    package = engine_steps.artifact(loaded.request)
    assert package is not None
    aoti.copy_anonymous(package / aoti.PACKAGE, tmp_path / aoti.PACKAGE)
    shutil.copyfile(package / aoti.FACTS, tmp_path / aoti.FACTS)
    site = os.fsencode(sysconfig.get_path("purelib"))
    torch_folder = os.fsencode(Path(sys.modules["torch"].__file__ or "").parent)
    content = (tmp_path / aoti.PACKAGE).read_bytes()
    assert torch_folder in (package / aoti.PACKAGE).read_bytes()
    assert not any(place in content for place in (site, torch_folder, b"torchinductor_"))
    batch = dict(random_inputs(loaded.request.checkpoint, 2, 11, seed=11).batches[0])
    feed = loaded.step.prepare(batch)
    (wanted,), (got,) = loaded.step.run(feed), aoti.Library(tmp_path)(feed)
    assert (wanted == got).all()


def test_autotuned_static_int8_is_right_behind_the_first_layer() -> None:
    """torch 2.13 overwrites sums that are still needed, if it may use their buffers again."""
    changes = settings("int8", int8="static", mode="compile", max_autotune="on")
    step = engine_steps.loaded("torch", **changes).step
    assert not judged(step, "int8")
    facts = step.read_back()
    assert (facts["precision"], facts["torch.max_autotune"]) == ("int8", "on")


def test_another_setting_is_another_library() -> None:
    plain = artifact(mode="aoti")
    others = [
        artifact(mode="aoti", freezing="on"),
        artifact(mode="aoti", attention="eager"),
        artifact("bf16", mode="aoti"),
        artifact("int8", mode="aoti", int8="static"),
    ]
    assert plain == artifact(mode="aoti")
    assert len({str(a) for a in (plain, *others)}) == 5
    assert artifact(mode="compile") is None
