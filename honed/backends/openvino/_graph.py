"""The graph that is compiled: traced from torch, then quantised or its weights compressed."""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.openvino._package import import_openvino

# Weights that share a 4-bit scale. Cosine of a real MiniLM: 0.92 with 64, 0.95 with 32 at the same
# speed (the plugin rounds activations per 32 values anyway).
_GROUP = 32


def write(request: LoadRequest, path: Path) -> None:
    """Make the graph for the request's precision and save it (path: .xml, beside it .bin)."""
    ov = import_openvino()
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _convert(request)
        if request.case.precision == "int8":
            model = _quantise(model, request)
        if request.case.precision == "int4":
            model = _compress(model)
    # Left to itself it saves weights as fp16, and fp32 would not be fp32.
    ov.save_model(model, str(path), compress_to_fp16=False)


def _convert(request: LoadRequest) -> Any:
    """The checkpoint as a graph with free batch and length.

    Traced from torch: the plugin fuses attention from separate operators as well as from torch's
    fused one (the same latency, fp32 and int8), and NNCF knows the former's patterns best.
    """
    import torch

    from honed.models.heads import input_names, output_names
    from honed.models.torch.head import wrap
    from honed.models.torch.module import load_module

    ov = import_openvino()
    checkpoint = request.checkpoint
    task, pooling = checkpoint.task, checkpoint.pooling
    module = wrap(load_module(checkpoint, attention="eager"), task, pooling).eval()
    names = input_names(checkpoint)
    free = (ov.PartialShape([-1, -1]), ov.Type.i64)
    with torch.no_grad():
        model = ov.convert_model(
            module, example_input=_example(request), input=[free] * len(names)
        )
    for port, name in zip(model.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, output_names(task, pooling), strict=True):
        port.get_tensor().set_names({name})
    return model


def _example(request: LoadRequest) -> tuple[Any, ...]:
    """[2, 16] ids; the mask has a padded tail so that it is traced."""
    import torch

    from honed.models.inputs import random_inputs

    batch = random_inputs(request.checkpoint, 2, 16, seed=0).batches[0]
    batch["attention_mask"][1, 12:] = 0
    return tuple(torch.from_numpy(array) for array in batch.values())


def _quantise(model: Any, request: LoadRequest) -> Any:
    """Weights and activations to int8, with ranges from calibration batches."""
    import nncf

    from honed.models.calibration import random_calibration

    batches = request.calibration or random_calibration(request.checkpoint).batches
    return nncf.quantize(
        model,
        nncf.Dataset(list(batches)),
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER,
    )


def _compress(model: Any) -> Any:
    """Weights to 4 bits with a zero point per group, the first and last layers' to 8.

    The plugin then rounds activations to 8 bits per 32 values as it goes (its default); without
    that, 4-bit weights run at fp32's speed.
    """
    import nncf

    return nncf.compress_weights(
        model,
        mode=nncf.CompressWeightsMode.INT4_ASYM,
        group_size=_group_size(model),
        ratio=1.0,
    )


def _group_size(model: Any) -> int:
    """A power of two that divides every row of weights; -1 (whole rows) if none is sensible."""
    rows = {
        op.input_value(1).get_node().get_output_shape(0)[-1]
        for op in model.get_ops()
        if op.get_type_name() == "MatMul"
        and op.input_value(1).get_node().get_type_name() == "Constant"
    }
    group = math.gcd(_GROUP, *rows)
    return group if group >= 16 else -1
