"""Eager: each operator as Python comes to it."""

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

HELP = "each operator as Python comes to it"
KNOBS: tuple[Knob, ...] = ()
__all__ = ["HELP", "KNOBS", "artifact", "available", "build", "check", "runner"]


def runner(_: LoadRequest, module: Callable[[], Any], __: Path | None) -> Eager:
    return Eager(module())


class Eager:
    def __init__(self, module: Any) -> None:
        self.module = module
        self.facts = modules.facts(module)

    def prepare(self, feed: Feed) -> None:
        """Nothing to see."""

    def __call__(self, feed: Feed) -> tuple[Any, ...]:
        return tuple(self.module(*feed))

    def products(self, feed: Feed) -> Counter[str]:
        return products.of_call(lambda: self(feed))

    def told(self) -> Mapping[str, Value | None]:
        return {"torch.mode": "eager"}
