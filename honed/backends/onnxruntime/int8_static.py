"""int8 weights; activations are rounded to the ranges of calibration batches."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from honed.backends.base import Batch, LoadRequest
from honed.backends.onnxruntime import fuse, rounding
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Knob, Value

PRODUCTS = Knob("onnxruntime.int8_products",
                "int8 for the products with weights only, or also for those inside attention",
                ("linear", "all"))  # fmt: skip
KNOBS = (PRODUCTS,)
_BIAS_AT = 6  # where a MatMulIntegerToFloat takes its bias


def check(case: Case) -> None:
    """Raise UnsupportedError for int8 products inside a fused attention, where they stay fp32."""
    fused = case.get(fuse.ATTENTION.name) not in (None, "plain")
    if fused and case.get(PRODUCTS.name) == "all":
        what = f"{PRODUCTS.name}=all needs attention in separate operators"
        raise UnsupportedError(what, f"{fuse.ATTENTION.name}=plain")


def about(request: LoadRequest) -> dict[str, Value]:
    """What decides the graph, beside the choices that both ways to int8 share."""
    products = request.case.get(PRODUCTS.name) or "linear"
    attention: dict[str, Value] = {"attention": "plain"} if products == "all" else {}
    return {PRODUCTS.name: products, "calibration": request.calibration_key, **attention}


def write(request: LoadRequest, graph: Path, work: Path) -> Path:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    if operators := rounding.tables(request):
        graph = rounding.round_weights(request, graph, work / "tables.onnx", operators)
    path = work / "int8.onnx"
    # A head's Gemm has only an fp32 kernel here, so rounding around it would gain nothing.
    layers = ["MatMul"]
    quantize_static(
        _typed(graph), str(path), _reader(request.calibration_batches),
        quant_format=QuantFormat.QDQ, op_types_to_quantize=layers,
        activation_type=QuantType.QUInt8,
        extra_options={
            "MatMulConstBOnly": about(request)[PRODUCTS.name] == "linear",
            # fp32 operators follow the products, so rounding their outputs would only add passes.
            "OpTypesToExcludeOutputQuantization": layers,
            # Without it, sums that read the same values would read them rounded.
            "DedicatedQDQPair": True,
        },
        **rounding.arguments(request),
    )  # fmt: skip
    return path


def _typed(graph: Path) -> Any:
    """The graph with a type for every input of a product. Nothing infers the types of fused
    operators' outputs, and the quantiser skips inputs without a type."""
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
    """Make each bias an input of the product before it, where the settled graph adds it apart.

    The session does so itself for ranges found in each call, but not for fixed ones.
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


def _reader(batches: tuple[Batch, ...]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    left = iter(batches)

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the base class is untyped
        def get_next(self) -> Batch | None:
            return next(left, None)

    return Reader()
