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
from honed.models import delivered, hub, presets, weights
from honed.models.checkpoint import FORMS, Checkpoint, ModelRequest, inspect

_FORMAT = 1  # raise it when the way random weights are made changes


def locate(request: ModelRequest) -> Checkpoint | None:
    """The checkpoint, checked, if it is on this machine; None if `materialise` must make it."""
    if folder := _as_folder(request.model):
        _refuse_sizes(request)
        if delivered.find(str(folder)) is not None:
            return delivered.open_folder(folder, request)
        return inspect(folder, request)
    if shape := shape_of(request):
        task = task_of_shape(shape, request.task)
        key = artifacts.content_key(_about(shape, request.seed, task))
        folder = artifacts.find("weights", key)
        return inspect(folder, request, "preset") if folder else None
    near = did_you_mean(request.model, presets.known_names())
    unknown = ModelError(
        f"no model is called {request.model!r}",
        f"{near} {FORMS}: {', '.join(presets.PRESETS)}".strip(),
    )
    if not re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)?", request.model, re.ASCII):
        raise unknown
    _refuse_sizes(request)
    cached = hub.find(request.model)
    if cached is None:
        if near and "/" not in request.model:
            raise unknown  # one word close to a named shape is misspelt, so no download is tried
        return None
    try:
        return inspect(cached, request, "hub")
    except weights.MissingWeightsError:
        return None  # the download was cut off: materialise resumes it


def materialise(request: ModelRequest) -> Checkpoint:
    """The checkpoint. Where it is missing, random weights are made or the hub's are downloaded."""
    if checkpoint := locate(request):
        return checkpoint
    shape = shape_of(request)
    if shape is None:
        folder = hub.download(request.model, with_code=request.trust_remote_code)
        return inspect(folder, request, "hub")
    task = task_of_shape(shape, request.task)

    def build(folder: Path) -> None:
        from honed.models.torch import random_weights

        random_weights.write(shape, task, request.seed, folder)

    made = artifacts.make("weights", _about(shape, request.seed, task), build)
    return inspect(made, request, "preset")


def shape_of(request: ModelRequest) -> presets.Preset | None:
    """The named shape with the sizes that are asked for; None for a folder or another model."""
    shape = None if is_folder(request.model) else presets.preset(request.model)
    return shape if shape is None else presets.resized(shape, request.sizes)


def _refuse_sizes(request: ModelRequest) -> None:
    if request.sizes:
        raise ModelError(
            f"{request.model} is a checkpoint, whose sizes are fixed",
            f"leave model.{request.sizes[0][0]} out, or change a named shape: model=lm-small",
        )


def config_of(request: ModelRequest) -> tuple[dict[str, Any], str] | None:
    """The entries of config.json and the task, without making any weights; None for a model that
    is not on this machine."""
    if shape := shape_of(request):
        config = {**shape.config, "model_type": shape.model_type}
        return config, task_of_shape(shape, request.task)
    checkpoint = locate(request)
    return None if checkpoint is None else (dict(checkpoint.config), checkpoint.task)


def is_folder(model: str) -> bool:
    """Whether `model` names a folder rather than a shape or a hub id."""
    return _as_folder(model) is not None


def _as_folder(model: str) -> Path | None:
    """The folder that `model` names, if it names one. A folder wins over shapes and hub ids."""
    path = Path(model).expanduser()
    if path.is_file():
        raise ModelError(f"{model} is a file", f"give its folder: model={path.parent}")
    is_model = (path / "config.json").exists() or delivered.find(model) is not None
    if path.is_dir() and ("/" in model or is_model):
        return path.resolve()
    weights.refuse_dangling(path)
    if model.startswith((".", "/", "~")):
        raise ModelError(f"there is no folder {model}", FORMS)
    return None


def _about(shape: presets.Preset, seed: int, task: str) -> dict[str, Any]:
    """Everything that decides the random weights."""
    return {"model": shape.name, "config": dict(shape.config), "seed": seed, "task": task,
            "format": _FORMAT}  # fmt: skip


def task_of_shape(shape: presets.Preset, task: str) -> str:
    """`task`, or the default of the shape for "auto"; ModelError if the shape has no such head."""
    if task == "auto":
        return shape.default_task
    decoder = shape.default_task == "causal-lm"
    if task == ("masked-lm" if decoder else "causal-lm"):
        kind = "a decoder" if decoder else "an encoder"
        raise ModelError(
            f"{shape.name} is {kind}: it has no {task} head", f"use task={shape.default_task}"
        )
    return task
