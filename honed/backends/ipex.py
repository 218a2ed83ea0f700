"""Intel Extension for PyTorch: Intel retired it after 2.8, but deployments can be measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends._plugin import PluginStep, installed_apart, precision_of
from honed.backends.base import LoadRequest, Step, Traits, refuse
from honed.case import Case
from honed.knob import Availability, Knob, Value
from honed.machine.facts import package_versions

HELP = "Intel Extension for PyTorch 2.8 (retired by Intel); in an environment of its own"
EXTRA = "torch"
REFERENCE = "torch"
PRECISIONS = ("fp32", "bf16")
# It is built for one release of torch, which works with transformers 4 only.
_ENVIRONMENT = (
    "torch==2.8.0",
    "intel-extension-for-pytorch==2.8.0",
    "transformers>=4.56,<5",
    "setuptools",
)
TRAITS = Traits(environment=_ENVIRONMENT, thread_pool="openmp")

MODE = Knob(
    name="ipex.mode",
    help="how the optimised module runs: eagerly, or traced and frozen",
    values=("eager", "torchscript"),
)
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


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    """None: the module is optimised in memory."""
    return None


def build(_: LoadRequest, __: Path) -> None:
    """Nothing to build."""


def load(request: LoadRequest, _: Path | None) -> Step:
    traced = request.case.get(MODE.name) == "torchscript"

    def optimise(module: Any, feed: tuple[Any, ...]) -> Any:
        optimised = _optimised(module)
        return _traced(optimised, feed) if traced else optimised

    return PluginStep(request, optimise, _proofs)


def _optimised(module: Any) -> Any:
    import intel_extension_for_pytorch as ipex

    return ipex.optimize(module, dtype=next(module.parameters()).dtype, inplace=True)


def _traced(module: Any, feed: tuple[Any, ...]) -> Any:
    import torch

    return torch.jit.freeze(torch.jit.trace(module, feed, check_trace=False, strict=False))


def _proofs(module: Any, call: Any, ran: Counter[str]) -> Mapping[str, Value | None]:
    """Precision is proven only if operators of the extension ran in a call."""
    import torch

    operators = sum(
        n for name, n in ran.items() if name.startswith(("torch_ipex::", "ipex_prepack::"))
    )
    mode = "torchscript" if isinstance(call, torch.jit.ScriptModule) else "eager"
    return {
        "precision": precision_of(module) if operators else None,
        "ipex_operators": operators,
        MODE.name: mode,
    }
