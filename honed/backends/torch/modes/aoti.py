"""AOTInductor: exported and compiled once, in a process of its own; a library is loaded here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import exporting, inductor, modules
from honed.backends.torch.buckets import Feed
from honed.case import Case
from honed.knob import Availability, Knob, Value

HELP = "torch.export and AOTInductor: compiled once, loaded as a library"
KNOBS: tuple[Knob, ...] = ()

_PACKAGE = "model.pt2"
_TOLD = "aoti.json"


def available() -> Availability:
    return inductor.available()


def check(_: Case) -> None:
    """What cannot be exported says so itself."""


def artifact(request: LoadRequest) -> Mapping[str, Any]:
    return {
        "mode": "aoti",
        "attention": request.case.get("torch.attention"),
        "device": request.case.device,
        **inductor.settings(request.case),
    }


def build(request: LoadRequest, module: Any, folder: Path) -> None:
    import torch

    program = exporting.exported(module, request)
    graphs: list[inductor.Graph] = []
    options = {**inductor.settings(request.case), **inductor.watching(graphs.append)}
    with torch.no_grad():  # weights that might yet learn are not frozen
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(folder / _PACKAGE), inductor_configs=options
        )
    told = {
        "module": modules.facts(module),
        "inductor": inductor.told(graphs),
        "products": inductor.largest(graphs),
    }
    (folder / _TOLD).write_text(json.dumps(told))


def runner(_: LoadRequest, __: Callable[[], Any], folder: Path | None) -> Library:
    assert folder is not None, "this mode always builds"
    return Library(folder)


class Library:
    def __init__(self, folder: Path) -> None:
        from torch._inductor import aoti_load_package

        self._told = json.loads((folder / _TOLD).read_text())
        self.facts = self._told["module"]
        self._call = aoti_load_package(str(folder / _PACKAGE), run_single_threaded=True)

    def prepare(self, feed: Feed) -> None:
        """Compiled already."""

    def __call__(self, feed: Feed) -> tuple[Any, ...]:
        return tuple(self._call(*feed))

    def told(self) -> Mapping[str, Value | None]:
        return {"torch.mode": "aoti", **self._told["inductor"]}

    def products(self, _: Feed) -> Counter[str]:
        return Counter(self._told["products"])
