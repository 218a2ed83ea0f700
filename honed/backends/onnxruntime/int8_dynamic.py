"""int8 weights; activations are rounded to the range that is found in each call."""

from __future__ import annotations

from pathlib import Path

from honed.backends.base import LoadRequest
from honed.backends.onnxruntime import rounding


def write(request: LoadRequest, graph: Path, work: Path) -> Path:
    operators = [*rounding.LAYERS, "Attention", *rounding.tables(request)]
    return rounding.round_weights(request, graph, work / "int8.onnx", operators)
