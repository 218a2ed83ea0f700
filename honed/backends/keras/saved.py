"""The Steps of delivered folders: a SavedModel of TensorFlow, and an exported program of JAX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from honed.backends.base import LoadRequest
from honed.backends.keras import delivered_jax, delivered_tensorflow
from honed.backends.keras.delivering import FACTS_FILE, JAX_PROGRAM
from honed.backends.keras.step import JaxStep, TensorFlowStep

_PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}


def is_delivered(folder: Path) -> bool:
    return (folder / FACTS_FILE).is_file()


def step_for(request: LoadRequest, folder: Path) -> TensorFlowStep | JaxStep:
    if (folder / JAX_PROGRAM).is_file():
        return SavedProgramStep(request, folder)
    return SavedModelStep(request, folder)


def _named(folder: Path) -> tuple[tuple[str, ...], str]:
    """The names of the inputs, and of the output."""
    facts = json.loads((folder / FACTS_FILE).read_text())
    return tuple(facts["inputs"]), str(facts["output"])


class SavedModelStep(TensorFlowStep):
    """A SavedModel."""

    def __init__(self, request: LoadRequest, folder: Path) -> None:
        self.configure(request.threads)
        self.input_names, self.output_name = _named(folder)
        self.model: Any = delivered_tensorflow.Engine(folder, {"threads": request.threads}).loaded
        self._kept = [np.asarray(variable) for variable in self.model.kept]
        self.weights_bytes = sum(int(array.nbytes) for array in self._kept)
        self._call = self.model.serve

    def _precision(self) -> str | None:
        return _precision_of(self._kept)


class SavedProgramStep(JaxStep):
    """An exported program."""

    def __init__(self, request: LoadRequest, folder: Path) -> None:
        self.configure(request.threads)
        self.input_names, self.output_name = _named(folder)
        self.model: Any = delivered_jax.Engine(folder, {"threads": request.threads})
        self._weights = self.model.weights
        self.weights_bytes = sum(int(weight.nbytes) for weight in self._weights)
        self._call = self.model.call

    def _precision(self) -> str | None:
        return _precision_of([np.asarray(weight) for weight in self._weights])


def _precision_of(weights: list[Any]) -> str | None:
    """The type of all matrices; None if they differ."""
    types = {str(array.dtype) for array in weights if array.ndim > 1}
    return _PRECISIONS.get(types.pop()) if len(types) == 1 else None
