"""Inductor, torch's compiler: its knobs, and the facts of the graphs that it compiles."""

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

FREEZING = Knob("torch.freezing",
                "Inductor treats the weights as constants and lays them out for its kernels",
                ("on", "off"))  # fmt: skip
MAX_AUTOTUNE = Knob("torch.max_autotune",
                    "Inductor tries several kernels for each matrix product and keeps the fastest",
                    ("on", "off"))  # fmt: skip
KNOBS = (FREEZING, MAX_AUTOTUNE)
MODES = ("compile", "aoti")

_OPTIONS = {FREEZING.name: "freezing", MAX_AUTOTUNE.name: "max_autotune"}


@dataclass(frozen=True, slots=True)
class Graph:
    """One compiled graph: Inductor's settings while it compiled, and the graph's products."""

    settings: Mapping[str, bool]
    products: Counter[str]


def available() -> Availability:
    """Inductor writes C++, which $CXX or else g++ compiles."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler):
        return AVAILABLE
    return Availability(False, f"there is no C++ compiler ({compiler})", "apt-get install g++")


def check(case: Case) -> None:
    """Raise UnsupportedError for a knob of Inductor in a mode that does not compile."""
    asked = [knob.name for knob in KNOBS if case.get(knob.name) is not None]
    if asked and case.get("torch.mode") not in MODES:
        raise UnsupportedError(f"{asked[0]} is about compiled code", "torch.mode=compile or aoti")


def settings(case: Case) -> dict[str, bool]:
    """The options of Inductor that the Case sets, by Inductor's names."""
    asked = {option: case.get(name) for name, option in _OPTIONS.items()}
    options = {option: value == "on" for option, value in asked.items() if value is not None}
    if case.get("torch.int8") == "static":
        options["freezing"] = True  # int8 kernels need weights that are laid out as constants
        if options.get("max_autotune"):
            # Inductor's own int8 kernel writes the sum of a product and a residual into the
            # residual's buffer. torch 2.13 does not record that the two are one buffer, and later
            # kernels overwrite it (docs/torch.md).
            options["allow_buffer_reuse"] = False
    return options


def recorder(keep: Callable[[Graph], None]) -> Callable[[Any, Sequence[Any]], Any]:
    """Inductor as a backend of torch.compile that passes each compiled graph to `keep`."""
    from torch._inductor.compile_fx import compile_fx, compile_fx_inner

    def inner(graph: Any, inputs: Sequence[Any], **options: Any) -> Any:
        keep(_described(graph))  # first: Inductor's passes replace the operators
        return compile_fx_inner(graph, inputs, **options)

    def backend(graph: Any, inputs: Sequence[Any]) -> Any:
        return compile_fx(graph, inputs, inner_compile=inner)

    return backend


def largest(graphs: Sequence[Graph]) -> Counter[str]:
    """The products of the graph that has the most."""
    return max((graph.products for graph in graphs), key=Counter.total, default=Counter())


def _described(module: Any) -> Graph:
    """The graph and the settings in force. Called while Inductor compiles the graph."""
    from torch._inductor import config
    from torch._inductor.freezing_utils import has_frozen_params

    in_force = {option: bool(getattr(config, option)) for option in _OPTIONS.values()}
    in_force["freezing"] = has_frozen_params(module)
    return Graph(in_force, products.of_graph(module.graph))


def read_back(graphs: Sequence[Graph]) -> dict[str, Value | None]:
    """The knobs in force for every graph; None if graphs differ or there are none."""
    knobs: dict[str, Value | None] = {"graphs": len(graphs)}
    for name, option in _OPTIONS.items():
        states = {graph.settings[option] for graph in graphs}
        knobs[name] = ("on" if states.pop() else "off") if len(states) == 1 else None
    return knobs


def watching(keep: Callable[[Graph], None]) -> dict[str, Any]:
    """The option of Inductor that passes each graph to `keep` before code is generated."""
    from torch._inductor.custom_graph_pass import CustomGraphPass

    class Watch(CustomGraphPass):  # type: ignore[misc]  # torch is not type-checked here
        def __call__(self, graph: Any) -> None:
            keep(_described(graph.owning_module))

        def uuid(self) -> None:
            """None: a pass that changes nothing needs no part in the cache's key."""

    return {"post_grad_custom_pre_pass": Watch()}
