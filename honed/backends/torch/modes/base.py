"""What every mode file offers: how a module of the right precision becomes something to call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from honed.backends.base import LoadRequest
from honed.backends.torch.buckets import Feed
from honed.case import Case
from honed.knob import Availability, Knob, Value


class Runner(Protocol):
    """What is called. It holds the weights."""

    facts: Mapping[str, Any]  # of the module: `modules.facts`

    def prepare(self, feed: Feed) -> None:
        """What has to be seen before the first call; not timed."""

    def __call__(self, feed: Feed) -> tuple[Any, ...]:
        """The outputs of one pass, as tensors."""

    def products(self, feed: Feed) -> Counter[str]:
        """The matrix products with weights, counted by what they are made of."""

    def told(self) -> Mapping[str, Value | None]:
        """This mode's knobs, and whatever else it says of itself."""


class Mode(Protocol):
    """The names that a mode file defines."""

    HELP: str
    KNOBS: tuple[Knob, ...]

    def available(self) -> Availability:
        """Whether it can run here."""

    def check(self, case: Case) -> None:
        """Raise UnsupportedError for what it cannot be combined with."""

    def artifact(self, request: LoadRequest) -> Mapping[str, Any] | None:
        """What decides the compiled artifact's content; None where there is none."""

    def build(self, request: LoadRequest, module: Any, folder: Path) -> None:
        """Compile `module` into `folder`."""

    def runner(
        self, request: LoadRequest, module: Callable[[], Any], folder: Path | None
    ) -> Runner:
        """The runner; `module()` loads the weights where they are needed."""
