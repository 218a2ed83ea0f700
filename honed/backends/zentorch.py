"""zentorch: AMD's plug-in for torch.compile, with kernels for AMD processors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends._plugin import PluginStep, installed_apart, precision_of
from honed.backends._plugin import artifact as artifact
from honed.backends._plugin import build as build
from honed.backends.base import LoadRequest, Step, Traits, refuse
from honed.case import Case
from honed.knob import Availability, Value
from honed.machine.facts import package_versions

HELP = "AMD's zentorch: torch.compile with AMD's kernels; in an environment of its own"
EXTRA = "torch"
REFERENCE = "torch"
PRECISIONS = ("fp32", "bf16")
KNOBS = ()
# Each release is built for one release of torch, whose number begins its own.
_ENVIRONMENT = ("torch==2.13.0", "zentorch==2.13.0.2", "transformers>=5.0")
TRAITS = Traits(environment=_ENVIRONMENT, thread_pool="openmp")


def available() -> Availability:
    modules = {"torch": "torch", "zentorch": "zentorch", "transformers": "transformers"}
    return installed_apart("zentorch", modules, _ENVIRONMENT)


def versions() -> Mapping[str, str]:
    return package_versions(("torch", "transformers", "zentorch"))


def check(case: Case) -> None:
    refuse(case, "zentorch", PRECISIONS)


def start() -> None:
    import zentorch  # noqa: F401 - registers itself with torch.compile
    from transformers import AutoModel  # noqa: F401


def load(request: LoadRequest, _: Path | None) -> Step:
    return PluginStep(request, _compiled, _proofs)


def _compiled(module: Any, _: tuple[Any, ...]) -> Any:
    import torch

    return torch.compile(module, backend="zentorch", dynamic=False)


def _proofs(module: Any, _: Any, ran: Counter[str]) -> Mapping[str, Value | None]:
    """Precision is proven only if operators of the plug-in ran in a call."""
    operators = sum(n for name, n in ran.items() if name.startswith("zentorch::"))
    precision = precision_of(module) if operators else None
    return {"precision": precision, "zentorch_operators": operators}
