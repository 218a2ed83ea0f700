"""Write a setting of torch as files: an AOTInductor package, or the checkpoint with a loader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import Delivery, LoadRequest
from honed.backends.torch import inductor, variants
from honed.backends.torch.modes import aoti
from honed.case import Case
from honed.errors import UnsupportedError
from honed.files import copy_files
from honed.models import delivered, sentences
from honed.models.checkpoint import Checkpoint
from honed.models.heads import input_names, output_names
from honed.models.sentence_modules import VectorLayer
from honed.models.tasks import FEATURES, is_encoder_half

FACTS_FILE = "engine.json"
_PACKAGE_SNIPPET = f"""import torch

model = torch._inductor.aoti_load_package("model/{aoti.PACKAGE}")
outputs = model(*(torch.from_numpy(array) for array in batch.values()))"""
_CHECKPOINT_SNIPPET = """import torch
from transformers import {class_name}

model = {class_name}.from_pretrained("{folder}", dtype=torch.{dtype}).eval()
with torch.inference_mode():
    outputs = model(**{{name: torch.from_numpy(array) for name, array in batch.items()}})"""
# What a precision of torch becomes in the settings of the checkpoint's loader.
_PRECISIONS: Mapping[str, Mapping[str, Any]] = {
    "fp32": {},
    "bf16_weights": {"dtype": "bfloat16"},
    "bf16_autocast": {"autocast": True},
    "fp16": {"dtype": "float16"},
    "int8_dynamic": {"int8": True},
}


def check(case: Case) -> None:
    """UnsupportedError for a setting that the checkpoint's loader does not do. A compiled package
    holds every setting."""
    if _is_package(case):
        return
    precision = variants.precision_name(case)
    if precision not in _PRECISIONS:
        raise _refusal(f"torch's {precision.replace('_', ' ')} without a compiled package")
    if case.get(variants.MODE.name) == "torchscript":
        raise _refusal("torch.mode=torchscript, which torch has retired,")
    for name in ("torch.packed", "torch.buckets"):
        if case.get(name) not in (None, "off"):
            raise _refusal(f"{name}={case.get(name)}")
    if case.device != "cpu":
        raise _refusal(f"device={case.device}")


def _refusal(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what} is not delivered: the loader of a delivered folder has no honed",
        "torch.mode=aoti, or another setting",
    )


def _is_package(case: Case) -> bool:
    return case.get(variants.MODE.name) == "aoti"


def deliver(request: LoadRequest, artifact: Path | None, folder: Path) -> Delivery:
    if _is_package(request.case):
        assert artifact is not None, "this mode always builds"
        return _package(request, artifact, folder)
    return _checkpoint(request, folder)


def _package(request: LoadRequest, artifact: Path, folder: Path) -> Delivery:
    aoti.copy_anonymous(artifact / aoti.PACKAGE, folder / aoti.PACKAGE)
    copy_files(artifact, folder, aoti.FACTS)
    checkpoint = request.checkpoint
    facts = {
        "inputs": input_names(checkpoint),
        "outputs": output_names(checkpoint.task, checkpoint.pooling),
    }
    (folder / FACTS_FILE).write_text(json.dumps(facts))
    engine = Path(__file__).with_name("delivered_package.py")
    return Delivery(engine, {"threads": request.threads}, ("torch", "numpy"), _PACKAGE_SNIPPET)


def _checkpoint(request: LoadRequest, folder: Path) -> Delivery:
    """The checkpoint's own files: what torch.compile makes stays in its process."""
    from honed.models.torch import pooling
    from honed.models.torch.module import auto_class, import_transformers

    model, settings = request.checkpoint, _settings(request)
    if model.own_code:
        raise _refusal("Python code of a checkpoint")
    copied = delivered.copy_checkpoint(model, folder, with_weights=True)
    half = is_encoder_half(model.config)
    name = auto_class(import_transformers(), model.task, encoder_half=half).__name__
    facts = _facts(model) | {"class": name, "transformer": str(copied.relative_to(folder))}
    (folder / FACTS_FILE).write_text(json.dumps(facts))
    snippet = _CHECKPOINT_SNIPPET.format(
        class_name=name, folder=copied.relative_to(folder.parent),
        dtype=settings.get("dtype", "float32"),
    )  # fmt: skip
    return Delivery(
        Path(__file__).with_name("delivered_checkpoint.py"), settings,
        ("torch", "transformers", "numpy"), snippet,
        {"text_pooling.py": Path(pooling.__file__)}, copied,
    )  # fmt: skip


def _settings(request: LoadRequest) -> dict[str, Any]:
    """What the checkpoint's loader reads."""
    case = request.case
    settings = {"threads": request.threads, "attention": case.get("torch.attention")}
    is_compiled = case.get(variants.MODE.name) == "compile"
    compiled = {"compile": inductor.settings(case)} if is_compiled else {}
    return {**settings, **_PRECISIONS[variants.precision_name(case)], **compiled}


def _facts(model: Checkpoint) -> dict[str, Any]:
    from honed.models.tokenizer import prompt_tokens

    pools = model.task == FEATURES and model.pooling != "none"
    root = sentences.root_folder(model.folder)
    return {
        "inputs": input_names(model),
        "outputs": output_names(model.task, model.pooling),
        "pooling": model.pooling if pools else None,
        "left_out": prompt_tokens(model),
        "layers": [_described(layer, root) for layer in model.layers],
    }


def _described(layer: VectorLayer, root: Path) -> dict[str, Any]:
    """What the loader reads of a layer behind the pooling."""
    names = ("kind", "inputs", "outputs", "activation", "bias", "residual", "projects_residual")
    folder = None if layer.folder is None else str(layer.folder.relative_to(root))
    return {**{name: getattr(layer, name) for name in names}, "folder": folder}
