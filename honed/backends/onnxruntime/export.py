"""The checkpoint as a graph of standard operators, with free batch and length."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest

_OPSET = 18
# The newer exporter calls what an embedding looks up "embedding" too, and names must differ.
OUTPUT_PREFIX = "output."
# Outputs without a length axis; logits have one only for per-token tasks, and naming a fixed axis
# "length" would be wrong, so they are left to shape inference.
_FLAT = {"embedding", "logits"}


def write(request: LoadRequest, work: Path) -> Path:
    """Export into `work`.

    The tracing exporter with attention in separate operators gives the graph whose patterns the
    fusions know; the newer one is the way for models it cannot trace.
    """
    import torch

    from honed.models.heads import input_names, output_names
    from honed.models.torch.head import wrap
    from honed.models.torch.module import load_module

    checkpoint = request.checkpoint
    task, pooling = checkpoint.task, checkpoint.pooling
    module = wrap(load_module(checkpoint, attention="eager"), task, pooling).eval()
    names, outs = list(input_names(checkpoint)), list(output_names(task, pooling))
    example = tuple(_example(n) for n in names)
    path = work / "exported.onnx"
    axes = {n: {0: "batch", 1: "length"} for n in [*names, *outs]}
    with torch.no_grad(), _quiet():
        try:
            torch.onnx.export(
                module, example, str(path), dynamo=False, opset_version=_OPSET,
                input_names=names, output_names=outs,
                dynamic_axes={n: (a if n not in _FLAT else {0: "batch"}) for n, a in axes.items()},
            )  # fmt: skip
        except Exception:  # noqa: BLE001 - any failure of the first exporter means: try the other
            batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
            torch.onnx.export(
                module, example, str(path), dynamo=True, opset_version=_OPSET,
                input_names=names, output_names=[OUTPUT_PREFIX + name for name in outs],
                dynamic_shapes=tuple({0: batch, 1: length} for _ in names),
            )  # fmt: skip
    return path


def _example(name: str) -> Any:
    """[2, 16] ids that every vocabulary has; the mask has a padded tail so that it is traced."""
    import torch

    if name == "input_ids":
        return torch.arange(32).reshape(2, 16) % 8 + 4
    if name == "attention_mask":
        mask = torch.ones(2, 16, dtype=torch.int64)
        mask[1, 12:] = 0
        return mask
    return torch.zeros(2, 16, dtype=torch.int64)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
