"""What a mode file defines: `MODE`, how a module of the right precision becomes callable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from honed.backends.base import LoadRequest
from honed.backends.torch.buckets import Feed
from honed.knob import AVAILABLE, Availability, Value


class Runner(Protocol):
    """A callable model. It holds the weights."""

    facts: Mapping[str, Any]  # `modules.facts` of the module

    def prepare(self, feed: Feed) -> None:
        """Do what the first call needs to have been done; not timed."""

    def __call__(self, feed: Feed) -> tuple[Any, ...]:
        """The outputs of one pass, as tensors."""

    def products(self, feed: Feed) -> Counter[str]:
        """How many matrix products with weights run in each precision."""

    def read_back(self) -> Mapping[str, Value | None]:
        """The mode in force, and the knobs that belong to it."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One mode of the torch backend.

    `runner` gets a function that loads the module, and the artifact's folder if there is one.
    `artifact` is what decides the content of the compiled artifact, and `build` compiles a module
    into a folder; by default there is none, and the runner is made from the module where it runs.
    """

    runner: Callable[[LoadRequest, Callable[[], Any], Path | None], Runner]
    available: Callable[[], Availability] = lambda: AVAILABLE
    artifact: Callable[[LoadRequest], Mapping[str, Any] | None] = lambda _: None
    build: Callable[[LoadRequest, Any, Path], None] = lambda _, __, ___: None
