"""torch.compile: Inductor's kernels, one graph for each shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from honed.backends.torch import inductor, modules, products
from honed.backends.torch.buckets import Feed
from honed.backends.torch.modes.base import Mode
from honed.knob import Value

# torch's own limit is 8; beyond it, calls silently run eagerly.
_GRAPHS = 256


class Compiled:
    def __init__(self, module: Any, settings: Mapping[str, Any]) -> None:
        import torch

        self.module = module
        self.facts = modules.facts(module)
        self.graphs: list[inductor.Graph] = []
        self._settings = settings
        self._compiled_shapes: set[tuple[int, ...]] = set()
        # Symbolic shapes run slower on CPUs, and honed measures fixed ones.
        self._call = torch.compile(
            module, dynamic=False, backend=inductor.recorder(self.graphs.append)
        )

    def prepare(self, feed: Feed) -> None:
        """Nothing: a shape is compiled in its first call, whose time a record keeps."""

    def __call__(self, feed: Feed) -> tuple[Any, ...]:
        shape = tuple(feed[0].shape)
        if shape in self._compiled_shapes:
            outputs: tuple[Any, ...] = self._call(*feed)
            return outputs
        self._compiled_shapes.add(shape)
        return self._first_call(feed)

    def _first_call(self, feed: Feed) -> tuple[Any, ...]:
        import torch

        # Freezing is decided while the module is traced, before torch.compile reads its options,
        # so the settings are patched in. A graph that autograd's cache returns whole would not be
        # recorded, so that cache is off; Inductor's cache of kernels stays in use.
        with (
            torch._functorch.config.patch(enable_autograd_cache=False),
            torch._inductor.config.patch(dict(self._settings)),
            torch._dynamo.config.patch(
                recompile_limit=_GRAPHS, accumulated_recompile_limit=4 * _GRAPHS
            ),
        ):
            outputs: tuple[Any, ...] = self._call(*feed)
        return outputs

    def read_back(self) -> Mapping[str, Value | None]:
        mode = "compile" if self.graphs else None
        return {"torch.mode": mode, **inductor.read_back(self.graphs)}

    def products(self, feed: Feed) -> Counter[str]:
        """The products of a call by the profiler. It does not see those in kernels that Inductor
        wrote itself; if there are such, the largest graph has more of them and is used."""
        profiled = products.of_call(lambda: self(feed))
        graph = inductor.largest(self.graphs)
        return profiled if profiled.total() >= graph.total() else graph


MODE = Mode(
    lambda request, module, _: Compiled(module(), inductor.settings(request.case)),
    available=inductor.available,
)
