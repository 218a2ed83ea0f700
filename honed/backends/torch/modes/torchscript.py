"""TorchScript: traced and frozen. torch has retired it; it is kept for those who deployed it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from honed.backends.torch import modules, products
from honed.backends.torch.buckets import Feed
from honed.backends.torch.modes.base import Mode
from honed.knob import Value


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

    def read_back(self) -> Mapping[str, Value | None]:
        import torch

        traced = isinstance(self._traced, torch.jit.ScriptModule)
        return {"torch.mode": "torchscript" if traced else None}


MODE = Mode(lambda _, module, __: Traced(module()))
