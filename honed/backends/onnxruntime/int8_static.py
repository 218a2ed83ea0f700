"""int8 weights, and activations rounded to the ranges that calibration batches had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from honed.backends.base import Batch, LoadRequest
from honed.backends.onnxruntime import fuse, rounding
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Knob, Value

PRODUCTS = Knob(
    name="onnxruntime.int8_products",
    help="int8 for the products by weights, or for attention's own as well",
    values=("linear", "all"),
)
KNOBS = (PRODUCTS,)
_BIAS_AT = 6  # where a MatMulIntegerToFloat takes its bias


def check(case: Case) -> None:
    """A fused attention has its products inside, where they stay fp32."""
    fused = case.get(fuse.ATTENTION.name) not in (None, "plain")
    if fused and case.get(PRODUCTS.name) == "all":
        raise UnsupportedError(
            f"{PRODUCTS.name}=all needs attention in pieces", f"{fuse.ATTENTION.name}=plain"
        )


def about(request: LoadRequest) -> dict[str, Value]:
    """What decides the graph beside the choices that all ways share."""
    products = request.case.get(PRODUCTS.name) or "linear"
    pieces: dict[str, Value] = {"attention": "plain"} if products == "all" else {}
    return {PRODUCTS.name: products, "calibration": request.calibration_key, **pieces}


def write(request: LoadRequest, graph: Path, work: Path) -> Path:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    if operators := rounding.tables(request):
        graph = rounding.round_weights(request, graph, work / "tables.onnx", operators)
    path = work / "int8.onnx"
    # A head's Gemm would keep its fp32 kernel between rounded values: it stays as it is.
    layers = ["MatMul"]
    quantize_static(
        _typed(graph), str(path), _reader(_batches(request)), quant_format=QuantFormat.QDQ,
        op_types_to_quantize=layers, activation_type=QuantType.QUInt8,
        extra_options={
            "MatMulConstBOnly": about(request)[PRODUCTS.name] == "linear",
            # fp32 operators use what a product gives: rounding it would only add passes.
            "OpTypesToExcludeOutputQuantization": layers,
            # Else the sums beside the products would read rounded values as well.
            "DedicatedQDQPair": True,
        },
        **rounding.arguments(request),
    )  # fmt: skip
    return path


def _typed(graph: Path) -> Any:
    """The graph with a type for every input of a product: no tool infers the fused operators',
    and the quantiser leaves what has no type in fp32."""
    import onnx

    model = onnx.load(str(graph))
    known = {info.name for info in model.graph.value_info}
    known |= {tensor.name for tensor in [*model.graph.initializer, *model.graph.input]}
    inputs = (i for n in model.graph.node if n.op_type in rounding.LAYERS for i in n.input[:2])
    for name in dict.fromkeys(i for i in inputs if i not in known):
        info = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        model.graph.value_info.append(info)
    return model


def join_biases(graph: Path) -> Path:
    """Each bias as an input of the product before it, where the settled graph adds it apart.

    The session does this for ranges found at every call, and not for fixed ones.
    """
    import onnx

    model = onnx.load(str(graph))
    nodes, outputs = model.graph.node, {output.name for output in model.graph.output}
    uses = Counter(name for node in nodes for name in node.input)
    vectors = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 1}
    products = {
        n.output[0]: n
        for n in nodes
        if n.op_type == "MatMulIntegerToFloat" and len(n.input) <= _BIAS_AT
        and uses[n.output[0]] == 1 and n.output[0] not in outputs
    }  # fmt: skip
    for node in [n for n in nodes if n.op_type == "Add"]:
        for product, bias in (node.input, reversed(node.input)):
            if product in products and bias in vectors:
                joined = products.pop(product)
                joined.input.extend([""] * (_BIAS_AT - len(joined.input)) + [bias])
                joined.output[0] = node.output[0]
                nodes.remove(node)
                break
    path = graph.with_name("joined.onnx")
    onnx.save(model, str(path), save_as_external_data=True, location="joined.bin")
    return path


def _batches(request: LoadRequest) -> tuple[Batch, ...]:
    from honed.models.calibration import random_calibration

    return request.calibration or random_calibration(request.checkpoint).batches


def _reader(batches: tuple[Batch, ...]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the base class is untyped
        def __init__(self) -> None:
            self.left: Iterator[Batch] = iter(batches)

        def get_next(self) -> Batch | None:
            return next(self.left, None)

    return Reader()
