"""torch.compile: Inductor's kernels, one graph for each shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import inductor, modules, products
from honed.backends.torch.buckets import Feed
from honed.case import Case
from honed.knob import Availability, Knob, Value

HELP = "torch.compile: Inductor's kernels, one graph for each shape"
KNOBS: tuple[Knob, ...] = ()
# torch's own limit is 8; beyond it, calls silently run eagerly.
_GRAPHS = 256


def available() -> Availability:
    return inductor.available()


def check(_: Case) -> None:
    """What cannot be compiled says so itself."""


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    return None


def build(_: LoadRequest, __: Any, ___: Path) -> None:
    """Compiled where it runs; Inductor keeps its kernels in a cache of its own."""


def runner(request: LoadRequest, module: Callable[[], Any], _: Path | None) -> Compiled:
    return Compiled(module(), inductor.settings(request.case))


class Compiled:
    def __init__(self, module: Any, settings: Mapping[str, Any]) -> None:
        import torch

        self.module = module
        self.facts = modules.facts(module)
        self.graphs: list[inductor.Graph] = []
        self._settings = settings
        self._seen: set[tuple[int, ...]] = set()
        # Symbolic shapes run slower on CPUs, and honed measures fixed ones.
        self._call = torch.compile(
            module, dynamic=False, backend=inductor.recorder(self.graphs.append)
        )

    def prepare(self, feed: Feed) -> None:
        """Compiled at the first call of a shape: that is what a first call costs."""

    def __call__(self, feed: Feed) -> tuple[Any, ...]:
        shape = tuple(feed[0].shape)
        if shape in self._seen:
            outputs: tuple[Any, ...] = self._call(*feed)
            return outputs
        self._seen.add(shape)
        return self._first(feed)

    def _first(self, feed: Feed) -> tuple[Any, ...]:
        import torch

        # Freezing is decided as the module is traced, before any option of torch.compile is read.
        # A graph that comes whole from autograd's cache would not be seen; Inductor's own cache of
        # kernels stays in use.
        with (
            torch._functorch.config.patch(enable_autograd_cache=False),
            torch._inductor.config.patch(dict(self._settings)),
            torch._dynamo.config.patch(
                recompile_limit=_GRAPHS, accumulated_recompile_limit=4 * _GRAPHS
            ),
        ):
            outputs: tuple[Any, ...] = self._call(*feed)
        return outputs

    def told(self) -> Mapping[str, Value | None]:
        return {"torch.mode": "compile" if self.graphs else None, **inductor.told(self.graphs)}

    def products(self, feed: Feed) -> Counter[str]:
        """Of a call, but for those that Inductor wrote itself: these only its graphs show."""
        seen = products.of_call(lambda: self(feed))
        graph = inductor.largest(self.graphs)
        return seen if seen.total() >= graph.total() else graph
