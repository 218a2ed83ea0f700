"""Big models in little memory: weights are used from the mapped file, or loaded and dropped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.backends.base import LoadRequest, Traits, installed, refuse, refuse_gpu, refuse_values
from honed.backends.lowmem import knobs
from honed.backends.lowmem.knobs import STRATEGY, STREAM
from honed.case import Case
from honed.knob import Availability, Knob
from honed.machine.facts import package_versions

if TYPE_CHECKING:
    from honed.backends.lowmem.step import LowmemStep

HELP = "big models in little memory, with torch: weights stay in the mapped file"
EXTRA = "torch"
REFERENCE = "torch"
PRECISIONS: tuple[str, ...] = ("fp32",)
TRAITS = Traits(
    expert_rank=8,  # it saves memory; torch itself is as fast
    thread_pool="openmp",
    packages=("safetensors",),
    memory_words=("can't allocate memory",),
)
KNOBS: tuple[Knob, ...] = knobs.KNOBS


def available() -> Availability:
    return installed({"torch": "torch", "transformers": "transformers"}, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("torch", "transformers"))


def check(case: Case) -> None:
    refuse(case, "lowmem", PRECISIONS)
    refuse_gpu(case, "lowmem")
    refuse_values(case, KNOBS)


def start() -> None:
    from honed.models.torch.module import import_transformers

    import_transformers()  # this imports torch as well


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    """None: the checkpoint itself is mapped."""
    return None


def build(request: LoadRequest, folder: Path) -> None:
    """Nothing to build."""


def load(request: LoadRequest, _: Path | None) -> LowmemStep:
    import torch

    from honed.backends.lowmem.runners import runner
    from honed.backends.lowmem.step import LowmemStep

    if request.threads is not None:
        torch.set_num_threads(request.threads)
        if torch.get_num_interop_threads() != 1:  # torch allows setting it once in a process
            torch.set_num_interop_threads(1)
    strategy = str(request.case.get(STRATEGY.name) or STREAM)
    return LowmemStep(request, runner(request.checkpoint, strategy))
