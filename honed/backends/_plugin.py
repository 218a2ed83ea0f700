"""What ipex and zentorch share: a torch module that a plug-in of torch optimises."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed.backends._torch import TensorStep, load_with_head
from honed.backends.base import Batch, LoadRequest, installed, refuse_gpu
from honed.knob import Availability, Value

# (module in its precision, one feed) -> the optimised module
Optimise = Callable[[Any, tuple[Any, ...]], Any]
# (module, optimised module, how often each operator ran in one call) -> what is read back
Proofs = Callable[[Any, Any, Counter[str]], Mapping[str, Value | None]]


def installed_apart(
    engine: str, modules: Mapping[str, str], requirements: tuple[str, ...]
) -> Availability:
    """Whether every module of `modules` (module -> package) can be imported; else the command that
    makes an environment of `requirements`."""
    found = installed(modules, engine)
    how = f"honed env create {engine} {shlex.join(requirements)}; then python={engine}"
    return found if found.ok else replace(found, how=how)


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    """None: the module is optimised in memory when it is first called."""
    return None


def build(_: LoadRequest, __: Path) -> None:
    """Nothing to build."""


class PluginStep(TensorStep):
    """The module is optimised when the first feed is prepared, outside the timing.

    Its tensor peak is unknown: plug-ins allocate memory past torch's allocator, whose count would
    be too small.
    """

    def __init__(self, request: LoadRequest, optimise: Optimise, proofs: Proofs) -> None:
        import torch

        refuse_gpu(request.case, request.case.backend)
        super().__init__(request)
        if request.threads is not None:
            torch.set_num_threads(request.threads)
        module = load_with_head(request)
        if request.case.precision == "bf16":
            module = module.to(torch.bfloat16)
        self.weights_bytes = sum(int(p.nbytes) for p in module.parameters())
        self._module, self._optimise, self._proofs = module, optimise, proofs
        self._optimised: Any = None
        self._feed: tuple[Any, ...] = ()

    def prepare(self, batch: Batch) -> tuple[Any, ...]:
        import torch

        self._feed = self.tensors(batch)
        if self._optimised is None:
            with torch.inference_mode():
                self._optimised = self._optimise(self._module, self._feed)
            self.call = lambda feed: self._optimised(*feed)
        return self._feed

    def read_back(self) -> Mapping[str, Value | None]:
        """With the proofs, which get the operators of one call by the profiler's names."""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            self.run(self._feed)
        ran = Counter(event.name for event in profiled.events())
        return {**super().read_back(), **self._proofs(self._module, self._optimised, ran)}

    def close(self) -> None:
        super().close()
        self._optimised = self._module = None


def precision_of(module: Any) -> str | None:
    """The type of the parameters; None if they have several."""
    import torch

    names = {torch.float32: "fp32", torch.bfloat16: "bf16"}
    types = {p.dtype for p in module.parameters()}
    return names.get(types.pop()) if len(types) == 1 else None
