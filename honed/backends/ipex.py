"""Intel Extension for PyTorch: Intel retired it after 2.8, but deployments can be measured."""

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
from honed.knob import Availability, Knob, Value
from honed.machine.facts import package_versions

HELP = "Intel Extension for PyTorch 2.8 (retired by Intel); in an environment of its own"
EXTRA = "torch"
REFERENCE = "torch"
PRECISIONS = ("fp32", "bf16")
# It is built for one release of torch, which works with transformers 4 only.
_ENVIRONMENT = ("torch==2.8.0", "intel-extension-for-pytorch==2.8.0", "transformers>=4.56,<5",
                "setuptools")  # fmt: skip
TRAITS = Traits(environment=_ENVIRONMENT, thread_pool="openmp")

MODE = Knob("ipex.mode", "how the optimised module runs: eagerly, or traced and frozen",
            ("eager", "torchscript"))  # fmt: skip
KNOBS = (MODE,)


def available() -> Availability:
    module = "intel_extension_for_pytorch"
    modules = {"torch": "torch", module: _ENVIRONMENT[1], "transformers": _ENVIRONMENT[2]}
    return installed_apart("ipex", modules, _ENVIRONMENT)


def versions() -> Mapping[str, str]:
    return package_versions(("torch", "transformers", "intel-extension-for-pytorch"))


def check(case: Case) -> None:
    refuse(case, "ipex", PRECISIONS)


def start() -> None:
    import intel_extension_for_pytorch  # noqa: F401
    from transformers import AutoModel  # noqa: F401


def load(request: LoadRequest, _: Path | None) -> Step:
    traced = request.case.get(MODE.name) == "torchscript"

    def optimise(module: Any, feed: tuple[Any, ...]) -> Any:
        import intel_extension_for_pytorch as ipex
        import torch

        dtype = next(module.parameters()).dtype
        optimised = ipex.optimize(module, dtype=dtype, inplace=True)
        if not traced:
            return optimised
        return torch.jit.freeze(torch.jit.trace(optimised, feed, check_trace=False, strict=False))

    return PluginStep(request, optimise, _proofs)


def _proofs(module: Any, call: Any, ran: Counter[str]) -> Mapping[str, Value | None]:
    """Precision is proven only if operators of the extension ran in a call."""
    import torch

    starts = ("torch_ipex::", "ipex_prepack::")
    operators = sum(n for name, n in ran.items() if name.startswith(starts))
    mode = "torchscript" if isinstance(call, torch.jit.ScriptModule) else "eager"
    precision = precision_of(module) if operators else None
    return {"precision": precision, "ipex_operators": operators, MODE.name: mode}
