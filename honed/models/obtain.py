"""From the name of a model (a folder, a hub id or a named shape) to its checkpoint folder.

`locate` only looks on this machine and imports no framework. `materialise` also downloads or
makes weights, which may import torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from honed import artifacts
from honed.errors import ModelError, did_you_mean
from honed.models import hub, presets, weights
from honed.models.checkpoint import FORMS, Checkpoint, ModelRequest, inspect

_FORMAT = 1  # raise it when the way random weights are made changes


def locate(request: ModelRequest) -> Checkpoint | None:
    """The checkpoint, checked, if it is on this machine; None if `materialise` must make it."""
    if folder := _as_folder(request.model):
        return inspect(folder, request)
    if shape := presets.preset(request.model):
        task = _preset_task(shape, request.task)
        key = artifacts.content_key(_about(shape, request.seed, task))
        folder = artifacts.find("weights", key)
        return inspect(folder, request, "preset") if folder else None
    _check_hub_id(request.model)
    cached = hub.find(request.model)
    if cached is None:
        _refuse_misspelt(request.model)
        return None
    try:
        return inspect(cached, request, "hub")
    except weights.MissingWeightsError:
        return None  # the download was cut off: materialise resumes it


def materialise(request: ModelRequest) -> Checkpoint:
    """The checkpoint. Where it is missing, random weights are made or the hub's are downloaded."""
    if checkpoint := locate(request):
        return checkpoint
    shape = presets.preset(request.model)
    if shape is None:
        folder = hub.download(request.model, with_code=request.trust_remote_code)
        return inspect(folder, request, "hub")
    task = _preset_task(shape, request.task)

    def build(folder: Path) -> None:
        from honed.models.torch import random_weights

        random_weights.write(shape, task, request.seed, folder)

    made = artifacts.make("weights", _about(shape, request.seed, task), build)
    return inspect(made, request, "preset")


def _as_folder(model: str) -> Path | None:
    """The folder that `model` names, if it names one. A folder wins over shapes and hub ids."""
    path = Path(model).expanduser()
    if path.is_file():
        raise ModelError(f"{model} is a file", f"give its folder: model={path.parent}")
    if path.is_dir() and ("/" in model or (path / "config.json").exists()):
        return path.resolve()
    weights.refuse_dangling(path)
    if model.startswith((".", "/", "~")):
        raise ModelError(f"there is no folder {model}", FORMS)
    return None


def _check_hub_id(model: str) -> None:
    if not re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)?", model, re.ASCII):
        raise ModelError(f"no model is called {model!r}", _unknown_hint(model))


def _refuse_misspelt(model: str) -> None:
    """A single word close to a named shape is a misspelling, so no download is tried."""
    if "/" not in model and did_you_mean(model, presets.known_names()):
        raise ModelError(f"no model is called {model!r}", _unknown_hint(model))


def _unknown_hint(model: str) -> str:
    near = did_you_mean(model, presets.known_names())
    return f"{near} {FORMS}: {', '.join(presets.PRESETS)}".strip()


def _about(shape: presets.Preset, seed: int, task: str) -> dict[str, Any]:
    """Everything that decides the random weights."""
    return {
        "model": shape.name,
        "config": dict(shape.config),
        "seed": seed,
        "task": task,
        "format": _FORMAT,
    }


def _preset_task(shape: presets.Preset, task: str) -> str:
    if task == "auto":
        return shape.default_task
    decoder = shape.default_task == "causal-lm"
    if task == ("masked-lm" if decoder else "causal-lm"):
        kind = "a decoder" if decoder else "an encoder"
        raise ModelError(
            f"{shape.name} is {kind}: it has no {task} head", f"use task={shape.default_task}"
        )
    return task
