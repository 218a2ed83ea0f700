"""What both ways to int8 share: the knob that chooses the way, and how weights are rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.knob import Knob, Value

INT8 = Knob("onnxruntime.int8",
            "ranges of activations found in each call, or fixed by calibration",
            ("dynamic", "static"))  # fmt: skip
SIGN = Knob("onnxruntime.weight_sign",
            "int8 weights with a sign (what VNNI multiplies), or without",
            ("signed", "unsigned"))  # fmt: skip
SCALE = Knob("onnxruntime.weight_scale",
             "one scale of the int8 weights per output channel, or per matrix",
             ("channel", "tensor"))  # fmt: skip
RANGE = Knob("onnxruntime.weight_range",
             "all 8 bits of the int8 weights, or 7: pairs of products overflow without VNNI",
             ("full", "reduced"))  # fmt: skip
EMBEDDING = Knob("onnxruntime.embedding", "embedding tables rounded to int8 as well, or kept fp32",
                 ("int8", "fp32"))  # fmt: skip
KNOBS = (SIGN, SCALE, RANGE, EMBEDDING)
_DEFAULTS = ("signed", "channel", "full", "int8")  # of KNOBS, in their order

LAYERS = ("MatMul", "Gemm")


def about(request: LoadRequest) -> dict[str, Value]:
    """Each choice, with the default where the Case leaves it open."""
    defaults = zip(KNOBS, _DEFAULTS, strict=True)
    return {knob.name: request.case.get(knob.name) or default for knob, default in defaults}


def arguments(request: LoadRequest) -> dict[str, Any]:
    """The choices as arguments of ONNX Runtime's quantisers."""
    from onnxruntime.quantization import QuantType

    choices = about(request)
    signed = choices[SIGN.name] == "signed"
    return {
        "weight_type": QuantType.QInt8 if signed else QuantType.QUInt8,
        "per_channel": choices[SCALE.name] == "channel",
        "reduce_range": choices[RANGE.name] == "reduced",
        "use_external_data_format": True,
    }


def round_weights(request: LoadRequest, graph: Path, path: Path, operators: list[str]) -> Path:
    """The graph with the weights of `operators` in int8 and activations rounded in each call."""
    from onnx import TensorProto
    from onnxruntime.quantization import quantize_dynamic

    # Only products with weights: those inside attention stay fp32, as in the published recipes.
    # Types of fused operators cannot be inferred, because they are not standard: name the type.
    quantize_dynamic(
        str(graph), str(path), op_types_to_quantize=operators,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
        **arguments(request),
    )  # fmt: skip
    return path


def tables(request: LoadRequest) -> list[str]:
    """The operators that look up embeddings, if the tables are to be rounded too; else none."""
    rounded = about(request)[EMBEDDING.name] == "int8"
    return ["Gather", "EmbedLayerNormalization"] if rounded else []
