"""Big models in little memory: weights are used from the mapped file, or loaded and dropped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import (
    UNLIKELY_RANK,
    LoadRequest,
    Step,
    Traits,
    installed,
    refuse,
    refuse_gpu,
    refuse_values,
)
from honed.backends.lowmem import convert, knobs, small
from honed.backends.lowmem.footprint import footprint as footprint
from honed.backends.lowmem.knobs import ENGINE, KEPT, PAGES, STRATEGY, STREAM
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Availability, Knob
from honed.machine.facts import package_versions
from honed.units import size_bytes

HELP = "big models in little memory, with torch: weights stay in the mapped file"
EXTRA = "lowmem"
REFERENCE = "torch"
PRECISIONS: tuple[str, ...] = ("fp32", "bf16", "int8")
TRAITS = Traits(
    expert_rank=UNLIKELY_RANK,  # it saves memory, and a search asks for speed
    thread_pool="openmp",
    packages=("safetensors",),
    memory_words=("can't allocate memory",),
    keeps_budget=True,
)
KNOBS: tuple[Knob, ...] = knobs.KNOBS


def available() -> Availability:
    return installed({name: name for name in ("torch", "transformers", "threadpoolctl")}, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("torch", "transformers"))


def check(case: Case) -> None:
    refuse(case, "lowmem", PRECISIONS)
    refuse_gpu(case, "lowmem")
    refuse_values(case, KNOBS)
    if case.precision == "int8" and case.get(STRATEGY.name) not in (None, STREAM):
        raise UnsupportedError(
            f"the published strategies have no int8, and lowmem.strategy={case.get(STRATEGY.name)}"
            " is one",
            "lowmem.strategy=stream, or precision=fp32",
        )
    if case.get(PAGES.name) == KEPT and case.memory_budget is not None:
        raise UnsupportedError(
            f"{PAGES.name}={KEPT} leaves all weights mapped, which no memory_budget allows for",
            f"leave {PAGES.name} or memory_budget out",
        )
    if case.get(ENGINE.name) == small.NAME:
        small.check(case)


def start() -> None:
    """The engine's knob has set the variable before the process started."""
    if os.environ.get("HONED_LOWMEM_ENGINE") == small.NAME:
        import honed.backends.lowmem.small.step  # noqa: F401

        return
    from honed.models.torch.module import import_transformers

    import_transformers()  # this imports torch as well


def artifact(request: LoadRequest) -> Mapping[str, Any] | None:
    """None in fp32, where the checkpoint's file is mapped whatever its type."""
    return convert.artifact(request)


def build(request: LoadRequest, folder: Path) -> None:
    convert.build(request, folder)


def load(request: LoadRequest, folder: Path | None) -> Step:
    if request.case.get(ENGINE.name) == small.NAME:
        from honed.backends.lowmem.small.step import SmallStep

        return SmallStep(request, folder)
    import torch

    from honed.backends.lowmem.runners import StreamOptions, runner
    from honed.backends.lowmem.step import LowmemStep

    if request.threads is not None:
        torch.set_num_threads(request.threads)
        if torch.get_num_interop_threads() != 1:  # torch allows setting it once in a process
            torch.set_num_interop_threads(1)
    case = request.case
    budget = None if case.memory_budget is None else size_bytes(case.memory_budget)
    strategy = str(case.get(STRATEGY.name) or STREAM)
    pages = case.get(PAGES.name)
    keeps_pages = None if pages is None else pages == KEPT
    options = StreamOptions(strategy, case.precision, folder, budget, keeps_pages=keeps_pages)
    return LowmemStep(request, runner(request.checkpoint, options))
