"""Export the checkpoint as a graph of standard operators with free batch and length."""

from __future__ import annotations

import warnings
from pathlib import Path

from honed.backends._torch import example_inputs, load_with_head
from honed.backends.base import LoadRequest
from honed.models.heads import input_names, output_names

_OPSET = 18
# The newer exporter also names the result of an embedding lookup "embedding"; names must differ.
OUTPUT_PREFIX = "output."
# Outputs whose second axis is not named. "embedding" has no length; logits have one only for
# per-token tasks, and a wrong name would be an error, so shape inference decides.
_FLAT = {"embedding", "logits"}


def write(request: LoadRequest, work: Path) -> Path:
    """Export into `work`.

    The fusions know the patterns of a graph that the tracing exporter makes of attention in
    separate operators. Models that it cannot trace are exported by torch's newer exporter.
    """
    import torch

    checkpoint = request.checkpoint
    module, example = load_with_head(request, "eager"), example_inputs(request)
    names = list(input_names(checkpoint))
    outs = list(output_names(checkpoint.task, checkpoint.pooling))
    path = work / "exported.onnx"
    axes = {n: {0: "batch", 1: "length"} for n in [*names, *outs]}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module, example, str(path), dynamo=False, opset_version=_OPSET,
                input_names=names, output_names=outs,
                dynamic_axes={n: (a if n not in _FLAT else {0: "batch"}) for n, a in axes.items()},
            )  # fmt: skip
        except Exception:  # noqa: BLE001 - whatever stops the first exporter, the other may work
            batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
            torch.onnx.export(
                module, example, str(path), dynamo=True, opset_version=_OPSET,
                input_names=names, output_names=[OUTPUT_PREFIX + name for name in outs],
                dynamic_shapes=tuple({0: batch, 1: length} for _ in names),
            )  # fmt: skip
    return path
