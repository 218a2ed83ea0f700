"""A torch module run by an optimiser that plugs into torch: what such engines have in common."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from honed.backends.base import Batch, LoadRequest, Outputs
from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Value

# A module in its precision and one feed -> what is called with feeds.
Optimise = Callable[[Any, tuple[Any, ...]], Any]
# The module, what is called, how often each operator ran in one call -> what the engine does.
Proofs = Callable[[Any, Any, Counter[str]], Mapping[str, Value | None]]


def installed_apart(engine: str, modules: Mapping[str, str], packages: str) -> Availability:
    """Whether every module -> package is here; else how to make the environment of `packages`."""
    missing = [package for module, package in modules.items() if find_spec(module) is None]
    if not missing:
        return AVAILABLE
    how = f"honed env create {engine} {packages}; then python={engine}"
    return Availability(False, f"{' and '.join(missing)} not installed", how, tuple(missing))


def quoted(packages: tuple[str, ...]) -> str:
    return shlex.join(packages)


class PluginStep:
    """The module is optimised when the first feed is prepared, outside the timing."""

    def __init__(self, request: LoadRequest, optimise: Optimise, proofs: Proofs) -> None:
        import torch

        from honed.models.heads import input_names, output_names
        from honed.models.torch.head import wrap
        from honed.models.torch.module import load_module

        if request.case.device != "cpu":
            raise UnsupportedError(f"{request.case.backend} runs on CPUs only", "device=cpu")
        if request.threads is not None:
            torch.set_num_threads(request.threads)
        checkpoint = request.checkpoint
        module = wrap(load_module(checkpoint), checkpoint.task, checkpoint.pooling).eval()
        if request.case.precision == "bf16":
            module = module.to(torch.bfloat16)
        self.weights_bytes = sum(int(p.nbytes) for p in module.parameters())
        self.input_names = input_names(checkpoint)
        self.output_names = output_names(checkpoint.task, checkpoint.pooling)
        self._module, self._optimise, self._proofs = module, optimise, proofs
        self._call: Any = None
        self._feed: tuple[Any, ...] = ()

    def prepare(self, batch: Batch) -> tuple[Any, ...]:
        import torch

        self._feed = tuple(torch.from_numpy(batch[name]) for name in self.input_names)
        if self._call is None:
            with torch.inference_mode():
                self._call = self._optimise(self._module, self._feed)
        return self._feed

    def run(self, feed: tuple[Any, ...]) -> Any:
        import torch

        with torch.inference_mode():
            return self._call(*feed)

    def outputs(self, raw: Any) -> Outputs:
        return {n: t.float().numpy() for n, t in zip(self.output_names, raw, strict=True)}

    def tensor_peak_bytes(self, feed: Any) -> int | None:  # noqa: ARG002
        """Unknown: plug-ins take memory past torch's allocator, whose count would be short."""
        return None

    def device_memory(self, feed: Any) -> Mapping[str, int]:  # noqa: ARG002
        return {}

    def read_back(self) -> Mapping[str, Value | None]:
        import torch

        ran = self._operators()
        return {
            "threads": torch.get_num_threads(),
            "device": "cpu",
            "isa": torch.backends.cpu.get_cpu_capability(),
            **self._proofs(self._module, self._call, ran),
        }

    def close(self) -> None:
        self._call = self._module = None

    def _operators(self) -> Counter[str]:
        """How often each operator ran in one call, by the profiler's names."""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            self.run(self._feed)
        return Counter(event.name for event in profiled.events())


def precision_of(module: Any) -> str | None:
    """The parameters' one type; None where there are several."""
    import torch

    names = {torch.float32: "fp32", torch.bfloat16: "bf16"}
    found = {p.dtype for p in module.parameters()}
    return names.get(found.pop()) if len(found) == 1 else None
