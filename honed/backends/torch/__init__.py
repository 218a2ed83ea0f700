"""PyTorch: eager, compiled, exported or traced. Eager fp32 is the reference of every engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import (
    Delivery,
    LoadRequest,
    Step,
    Traits,
    about_model,
    installed,
    refuse,
    refuse_values,
)
from honed.backends.torch import compiled_attention, inductor, packed, variants
from honed.backends.torch.buckets import BUCKETS
from honed.backends.torch.footprint import footprint as footprint
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Availability, Knob
from honed.machine.facts import package_versions
from honed.step import StepKind

HELP = "PyTorch: eager, torch.compile, AOTInductor or TorchScript"
EXTRA = "torch"
REFERENCE = "torch"
PRECISIONS = ("fp32", "bf16", "fp16", "int8", "int4")
TRAITS = Traits(
    expert_rank=3,  # nothing to export, and slower kernels for int8
    thread_pool="openmp",
    packages=("safetensors", "tokenizers", "torchao"),
    memory_words=("can't allocate memory",),
    calibrated=("int8",),
    neighbour_free="torch.int8=per_row",
    steps=tuple(StepKind),
)

ATTENTION = Knob("torch.attention", "attention in separate operators (eager) or fused (sdpa)",
                 ("eager", "sdpa"))  # fmt: skip
KNOBS = (
    *variants.KNOBS,
    ATTENTION,
    compiled_attention.KNOB,
    *inductor.KNOBS,
    packed.PACKED,
    BUCKETS,
)


def available() -> Availability:
    return installed({"torch": "torch", "transformers": "transformers"}, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("torch", "transformers"))


def check(case: Case) -> None:
    refuse(case, "torch", PRECISIONS)
    refuse_values(case, KNOBS)
    variants.check(case)
    inductor.check(case)
    packed.check(case)


def start() -> None:
    from honed.models.torch.module import import_transformers

    import_transformers()  # this imports torch as well


def artifact(request: LoadRequest) -> Mapping[str, Any] | None:
    """Only AOTInductor and static int8 export; every other setting maps the checkpoint itself."""
    if request.step is not StepKind.FORWARD:
        return None
    parts = variants.artifact(request)
    return None if parts is None else {**about_model(request, 2), **parts, **versions()}


def build(request: LoadRequest, folder: Path) -> None:
    variants.build(request, folder)


def check_delivery(case: Case) -> None:
    from honed.backends.torch import delivering

    delivering.check(case)


def deliver(request: LoadRequest, artifact: Path | None, folder: Path) -> Delivery:
    from honed.backends.torch import delivering

    return delivering.deliver(request, artifact, folder)


def load(request: LoadRequest, folder: Path | None) -> Step:
    import torch

    from honed.backends.torch.attention import AttentionStep
    from honed.backends.torch.step import TorchStep
    from honed.backends.torch.training import TrainingStep

    if request.case.device == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError("torch sees no CUDA device", "device=cpu")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
        if torch.get_num_interop_threads() != 1:  # torch allows setting it once in a process
            torch.set_num_interop_threads(1)
    match request.step:
        case StepKind.TRAINING:
            return TrainingStep(request)
        case StepKind.KERNEL:
            return AttentionStep(request)
        case _:
            return TorchStep(request, folder)
