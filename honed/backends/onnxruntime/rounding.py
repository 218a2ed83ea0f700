"""The choices that the ways to int8 share: which way, and how weights are rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.knob import Knob, Value

INT8 = Knob(
    name="onnxruntime.int8",
    help="ranges of activations found at every call, or fixed by calibration",
    values=("dynamic", "static"),
)
SIGN = Knob(
    name="onnxruntime.weight_sign",
    help="int8 weights with a sign (what VNNI multiplies), or without",
    values=("signed", "unsigned"),
)
SCALE = Knob(
    name="onnxruntime.weight_scale",
    help="one scale of the int8 weights per output channel, or per matrix",
    values=("channel", "tensor"),
)
RANGE = Knob(
    name="onnxruntime.weight_range",
    help="all 8 bits of the int8 weights, or 7: pairs of products overflow without VNNI",
    values=("full", "reduced"),
)
EMBEDDING = Knob(
    name="onnxruntime.embedding",
    help="embedding tables rounded to int8 as well, or kept fp32",
    values=("int8", "fp32"),
)
KNOBS = (SIGN, SCALE, RANGE, EMBEDDING)
_DEFAULTS: dict[str, Value] = {
    SIGN.name: "signed",
    SCALE.name: "channel",
    RANGE.name: "full",
    EMBEDDING.name: "int8",
}

LAYERS = ("MatMul", "Gemm")


def about(request: LoadRequest) -> dict[str, Value]:
    """Each choice, with the default where the Case does not say."""
    case = request.case
    return {name: case.get(name) or default for name, default in _DEFAULTS.items()}


def arguments(request: LoadRequest) -> dict[str, Any]:
    """The same as the quantisers' arguments."""
    from onnxruntime.quantization import QuantType

    how = about(request)
    signed = how[SIGN.name] == "signed"
    return {
        "weight_type": QuantType.QInt8 if signed else QuantType.QUInt8,
        "per_channel": how[SCALE.name] == "channel",
        "reduce_range": how[RANGE.name] == "reduced",
        "use_external_data_format": True,
    }


def round_weights(request: LoadRequest, graph: Path, path: Path, operators: list[str]) -> Path:
    """The graph with the weights of `operators` in int8, activations rounded at every call."""
    from onnx import TensorProto
    from onnxruntime.quantization import quantize_dynamic

    # Products by weights only: attention's own stay fp32, as in the published recipes.
    # The fused operators are not standard ones, so their type cannot be inferred: it is named.
    quantize_dynamic(
        str(graph), str(path), op_types_to_quantize=operators,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
        **arguments(request),
    )  # fmt: skip
    return path


def tables(request: LoadRequest) -> list[str]:
    """The operators that look embeddings up, where their tables are rounded as well."""
    rounded = about(request)[EMBEDDING.name] == "int8"
    return ["Gather", "EmbedLayerNormalization"] if rounded else []
