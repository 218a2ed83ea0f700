"""TorchScript: traced and frozen. Retired upstream; kept for those who deployed it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules, products
from honed.backends.torch.buckets import Feed
from honed.backends.torch.modes._unbuilt import artifact, available, build, check
from honed.knob import Knob, Value

HELP = "traced and frozen (retired upstream)"
KNOBS: tuple[Knob, ...] = ()
__all__ = ["HELP", "KNOBS", "artifact", "available", "build", "check", "runner"]


def runner(_: LoadRequest, module: Callable[[], Any], __: Path | None) -> Traced:
    return Traced(module())


class Traced:
    def __init__(self, module: Any) -> None:
        self.module = module
        self.facts = modules.facts(module)
        self._traced: Any = None

    def prepare(self, feed: Feed) -> None:
        import torch

        if self._traced is None:
            with torch.inference_mode():
                traced = torch.jit.trace(self.module, tuple(feed), check_trace=False, strict=False)
                self._traced = torch.jit.freeze(traced)

    def __call__(self, feed: Feed) -> tuple[Any, ...]:
        outputs: tuple[Any, ...] = self._traced(*feed)
        return outputs

    def products(self, feed: Feed) -> Counter[str]:
        return products.of_call(lambda: self(feed))

    def told(self) -> Mapping[str, Value | None]:
        import torch

        traced = isinstance(self._traced, torch.jit.ScriptModule)
        return {"torch.mode": "torchscript" if traced else None}
