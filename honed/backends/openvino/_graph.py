"""Write the graph that is compiled: traced from torch, then quantised or compressed."""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import Any

from honed.backends._torch import example_inputs, load_with_head
from honed.backends.base import LoadRequest
from honed.backends.openvino._package import import_openvino
from honed.models.heads import input_names, output_names

# 4-bit weights that share a scale. Cosine of a real MiniLM: 0.92 with 64, 0.95 with 32 at the same
# speed (the plugin rounds activations per 32 values anyway).
_GROUP = 32


def write(request: LoadRequest, path: Path) -> None:
    """Make the graph in the request's precision and save it: `path` (.xml) and a .bin beside."""
    ov = import_openvino()
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _convert(request)
        if request.case.precision == "int8":
            model = _quantise(model, request)
        if request.case.precision == "int4":
            model = _compress(model)
    # By default it saves weights as fp16, and fp32 would no longer be fp32.
    ov.save_model(model, str(path), compress_to_fp16=False)


def _convert(request: LoadRequest) -> Any:
    """The checkpoint as a graph with free batch and length.

    It is traced with attention in separate operators. The plugin fuses these as well as torch's
    fused attention (the same latency in fp32 and int8), and NNCF knows their patterns best.
    """
    import torch

    ov = import_openvino()
    checkpoint = request.checkpoint
    names, example = input_names(checkpoint), example_inputs(request)
    free = (ov.PartialShape([-1, -1]), ov.Type.i64)
    with torch.no_grad():
        model = ov.convert_model(
            load_with_head(request, "eager"), example_input=example, input=[free] * len(names)
        )
    for port, name in zip(model.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    outputs = output_names(checkpoint.task, checkpoint.pooling)
    for port, name in zip(model.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})
    return model


def _quantise(model: Any, request: LoadRequest) -> Any:
    """Round weights and activations to int8, with ranges from calibration batches."""
    import nncf

    batches, kind = list(request.calibration_batches), nncf.ModelType.TRANSFORMER
    dataset = nncf.Dataset(batches)
    return nncf.quantize(model, dataset, subset_size=len(batches), model_type=kind)


def _compress(model: Any) -> Any:
    """Round weights to 4 bits with a zero point per group; those of the first and last layer to 8.

    In each call the plugin rounds activations to 8 bits per 32 values, which is its default.
    Without that, 4-bit weights run at fp32's speed.
    """
    import nncf

    mode = nncf.CompressWeightsMode.INT4_ASYM
    return nncf.compress_weights(model, mode=mode, group_size=_group_size(model), ratio=1.0)


def _group_size(model: Any) -> int:
    """The largest group up to _GROUP that divides every row of weights; -1 (whole rows) if that is
    below 16."""
    products = (op for op in model.get_ops() if op.get_type_name() == "MatMul")
    seconds = (op.input_value(1).get_node() for op in products)
    rows = {n.get_output_shape(0)[-1] for n in seconds if n.get_type_name() == "Constant"}
    group = math.gcd(_GROUP, *rows)
    return group if group >= 16 else -1
