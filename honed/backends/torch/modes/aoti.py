"""AOTInductor: exported and compiled once in a process of its own, then loaded as a library."""

from __future__ import annotations

import json
import os
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import exporting, inductor, modules
from honed.backends.torch.buckets import Feed
from honed.backends.torch.modes.base import Mode
from honed.knob import Value

PACKAGE = "model.pt2"
FACTS = "aoti.json"


def _artifact(request: LoadRequest) -> Mapping[str, Any]:
    case = request.case
    return {"mode": "aoti", "attention": case.get("torch.attention"), "device": case.device,
            **inductor.settings(case)}  # fmt: skip


def _build(request: LoadRequest, module: Any, folder: Path) -> None:
    import torch

    program = exporting.exported(module, request)
    graphs: list[inductor.Graph] = []
    options = {**inductor.settings(request.case), **inductor.watching(graphs.append)}
    with torch.no_grad():  # Inductor freezes no weights that could still be trained
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(folder / PACKAGE), inductor_configs=options
        )
    facts = {"module": modules.facts(module), "inductor": inductor.read_back(graphs),
             "products": inductor.largest(graphs)}  # fmt: skip
    (folder / FACTS).write_text(json.dumps(facts))


def copy_anonymous(source: Path, target: Path) -> None:
    """Copy the package without the folders of this machine that its sources and its library name.

    Dashes take their place, as many as the path has bytes: places in the library stay where they
    are. Nothing reads these paths: the library is compiled, and torch has loaded those it needs.
    """
    import torch
    from torch._inductor.codecache import cache_dir

    folders = (f"{Path(torch.__file__).parent}", cache_dir(), f"{Path.home()}/")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            for folder in map(os.fsencode, folders):
                content = content.replace(folder, b"-" * len(folder))
            new.writestr(name, content)


class Library:
    """The compiled library, with the facts that were written down when it was built."""

    def __init__(self, folder: Path) -> None:
        from torch._inductor import aoti_load_package

        self._facts = json.loads((folder / FACTS).read_text())
        self.facts = self._facts["module"]
        self._call = aoti_load_package(str(folder / PACKAGE), run_single_threaded=True)

    def prepare(self, feed: Feed) -> None:
        """Nothing to do: it is compiled already."""

    def __call__(self, feed: Feed) -> tuple[Any, ...]:
        return tuple(self._call(*feed))

    def read_back(self) -> Mapping[str, Value | None]:
        return {"torch.mode": "aoti", **self._facts["inductor"]}

    def products(self, _: Feed) -> Counter[str]:
        return Counter(self._facts["products"])


def _runner(_: LoadRequest, __: Any, folder: Path | None) -> Library:
    assert folder is not None, "this mode always builds"
    return Library(folder)


MODE = Mode(_runner, available=inductor.available, artifact=_artifact, build=_build)
