"""Runs the exported JAX program of a delivered folder. It imports jax and numpy, not Keras; jax
imports flatbuffers to read the program.

honed copies this file into the folder as `engine.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Engine:
    """The program under jax.jit, which compiles it for each shape. `settings` has "threads"."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        if (threads := settings.get("threads")) is not None:
            # XLA's CPU client reads the size of its pool when it first computes something.
            os.environ["NPROC"] = str(threads)
        import jax
        import ml_dtypes  # noqa: F401 - numpy's names of bfloat16 and int4; it comes with jax

        jax.config.update("jax_cpu_enable_async_dispatch", False)
        facts = json.loads((folder / "engine.json").read_text())
        self._inputs, self._output = facts["inputs"], facts["output"]
        with np.load(folder / "weights.npz", allow_pickle=False) as stored:
            # numpy stores types that it does not know as bare bytes.
            self.weights = [
                jax.numpy.asarray(stored[str(place)].view(np.dtype(name)))
                for place, name in enumerate(facts["types"])
            ]
        program = jax.export.deserialize(bytearray((folder / "model.jax").read_bytes()))
        self.call = jax.jit(program.call)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """int64 arrays [batch_size, length] by input name to float arrays by output name."""
        zeros = np.zeros_like(batch["input_ids"])
        feed = {
            name: batch.get(given, zeros).astype(np.int32) for name, given in self._inputs.items()
        }
        return {self._output: np.asarray(self.call(self.weights, feed))}

    def in_force(self) -> dict[str, str]:
        """The threads of XLA's pool, which have this name."""
        tasks = Path("/proc/self/task").glob("*/comm")
        names = [task.read_text().strip() for task in tasks]
        return {"threads": str(names.count("tf_XLAEigen"))}
