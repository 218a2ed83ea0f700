"""Eager: Python calls one operator after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from honed.backends.torch import modules, products
from honed.backends.torch.buckets import Feed
from honed.backends.torch.modes.base import Mode
from honed.knob import Value


class Eager:
    def __init__(self, module: Any) -> None:
        self.module = module
        self.facts = modules.facts(module)

    def prepare(self, feed: Feed) -> None:
        """Nothing to do."""

    def __call__(self, feed: Feed) -> tuple[Any, ...]:
        return tuple(self.module(*feed))

    def products(self, feed: Feed) -> Counter[str]:
        return products.of_call(lambda: self(feed))

    def read_back(self) -> Mapping[str, Value | None]:
        return {"torch.mode": "eager"}


MODE = Mode(lambda _, module, __: Eager(module()))
