"""Inductor: its compiler, its knobs, and what it says of the graphs that it compiled."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.backends.torch import products
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, Value

FREEZING = Knob(
    name="torch.freezing",
    help="Inductor takes the weights as constants and lays them out for its kernels",
    values=("on", "off"),
)
MAX_AUTOTUNE = Knob(
    name="torch.max_autotune",
    help="Inductor tries several kernels for each matrix product and keeps the fastest",
    values=("on", "off"),
)
KNOBS = (FREEZING, MAX_AUTOTUNE)
MODES = ("compile", "aoti")

_OPTIONS = {FREEZING.name: "freezing", MAX_AUTOTUNE.name: "max_autotune"}


@dataclass(frozen=True, slots=True)
class Graph:
    """One compiled graph: Inductor's settings as it compiled, and what it was given."""

    settings: Mapping[str, bool]
    products: Counter[str]


def available() -> Availability:
    """Inductor writes C++ and has it compiled: by $CXX, else g++."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler):
        return AVAILABLE
    return Availability(False, f"there is no C++ compiler ({compiler})", "apt-get install g++")


def check(case: Case) -> None:
    """Its knobs need a mode that compiles."""
    asked = [knob.name for knob in KNOBS if case.get(knob.name) is not None]
    if asked and case.get("torch.mode") not in MODES:
        raise UnsupportedError(f"{asked[0]} is about compiled code", "torch.mode=compile or aoti")


def settings(case: Case) -> dict[str, bool]:
    """Inductor's own names of what is asked; what is not asked stays as it comes."""
    found = {
        option: case.get(name) == "on"
        for name, option in _OPTIONS.items()
        if case.get(name) is not None
    }
    if case.get("torch.int8") == "static":
        found["freezing"] = True  # its kernels take their weights laid out as constants
    return found


def recorder(keep: Callable[[Graph], None]) -> Callable[[Any, Sequence[Any]], Any]:
    """Inductor as a backend of torch.compile that tells `keep` of each graph it compiles."""
    from torch._inductor.compile_fx import compile_fx, compile_fx_inner

    def inner(graph: Any, inputs: Sequence[Any], **options: Any) -> Any:
        keep(_described(graph))  # before: passes replace its operators by their lowerings
        return compile_fx_inner(graph, inputs, **options)

    def backend(graph: Any, inputs: Sequence[Any]) -> Any:
        return compile_fx(graph, inputs, inner_compile=inner)

    return backend


def largest(graphs: Sequence[Graph]) -> Counter[str]:
    """The products of the graph that has most of them."""
    return max((graph.products for graph in graphs), key=Counter.total, default=Counter())


def _described(module: Any) -> Graph:
    """The graph and the settings in force: called while Inductor compiles it."""
    from torch._inductor import config
    from torch._inductor.freezing_utils import has_frozen_params

    found = {option: bool(getattr(config, option)) for option in _OPTIONS.values()}
    found["freezing"] = has_frozen_params(module)
    return Graph(found, products.of_graph(module.graph))


def told(graphs: Sequence[Graph]) -> dict[str, Value | None]:
    """The knobs as they were for every graph; None where graphs differ or there are none."""
    found: dict[str, Value | None] = {"graphs": len(graphs)}
    for name, option in _OPTIONS.items():
        states = {graph.settings[option] for graph in graphs}
        found[name] = ("on" if states.pop() else "off") if len(states) == 1 else None
    return found


def watching(keep: Callable[[Graph], None]) -> dict[str, Any]:
    """Inductor's setting that has `keep` told of each graph on its way to code."""
    from torch._inductor.custom_graph_pass import CustomGraphPass

    class Watch(CustomGraphPass):  # type: ignore[misc]  # torch is not type-checked here
        def __call__(self, graph: Any) -> None:
            keep(_described(graph.owning_module))

        def uuid(self) -> None:
            """None: what is only watched is in no cache's name."""

    return {"post_grad_custom_pre_pass": Watch()}
