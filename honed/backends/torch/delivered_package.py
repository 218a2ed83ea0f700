"""Runs the AOTInductor package of a delivered folder. It imports torch and numpy, and not honed.

honed copies this file into the folder as `engine.py`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


class Engine:
    """The compiled library. `settings` has "threads"."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        from torch._inductor import aoti_load_package

        if (threads := settings.get("threads")) is not None:
            torch.set_num_threads(threads)
            with contextlib.suppress(RuntimeError):  # torch allows it before its first work only
                torch.set_num_interop_threads(1)
        facts = json.loads((folder / "engine.json").read_text())
        self._inputs, self._outputs = facts["inputs"], facts["outputs"]
        self._call = aoti_load_package(str(folder / "model.pt2"), run_single_threaded=True)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """int64 arrays [batch_size, length] by input name to float arrays by output name."""
        tensors = [torch.from_numpy(batch[name]) for name in self._inputs]
        with torch.inference_mode():
            raw = self._call(*tensors)
        return {n: t.float().numpy() for n, t in zip(self._outputs, raw, strict=True)}

    def in_force(self) -> dict[str, str]:
        """The threads of torch, and the instructions that its own kernels use."""
        isa = torch.backends.cpu.get_cpu_capability()
        return {"threads": str(torch.get_num_threads()), "instructions": isa}
