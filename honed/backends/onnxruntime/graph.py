"""The final graph: settle it, save it with its weights beside it, and read facts from it.

Every fact is counted in the finished graph, never taken from what the Case asked for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from honed.errors import ModelError

GRAPH_FILE = "model.onnx"
FACTS_FILE = "facts.json"
WEIGHTS_FILE = "weights.bin"
_SMALL_BYTES = 1024  # smaller constants stay in the graph's own file

# Operators that multiply by weights -> the positions of the weights and of their scales in the
# inputs.
_WEIGHT_AT = {
    "MatMulInteger": (1, None), "MatMulIntegerToFloat": (1, 3), "DynamicQuantizeMatMul": (1, 2),
    "QLinearMatMul": (3, 4), "QGemm": (3, 4), "QAttention": (1, 4), "Attention": (1, None),
    "MatMul": (1, None), "Gemm": (1, None), "FusedMatMul": (1, None), "FusedGemm": (1, None),
    "MatMulNBits": (1, 2),
}  # fmt: skip
_INTEGER = {
    "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm",
    "QAttention",
}  # fmt: skip
_MOVED_ONLY = {"Transpose", "Identity", "DequantizeLinear"}
# Operators that hold attention -> whether its projections are inside.
_ATTENTION = {"Attention": "merged", "QAttention": "merged", "MultiHeadAttention": "split"}
_GELU = {"FastGelu": "tanh", "BiasGelu": "erf", "Gelu": "erf", "Erf": "erf"}
_JOINED_NORMS = {"SkipLayerNormalization", "EmbedLayerNormalization"}
_DYNAMIC = {"DynamicQuantizeLinear": "dynamic", "DynamicQuantizeMatMul": "dynamic"}
_TABLES = {"Gather", "EmbedLayerNormalization", "QEmbedLayerNormalization"}


def settle(graph: Path, work: Path, disabled: list[str]) -> Path:
    """The graph as the session would rewrite it, at a level that fits every CPU.

    This rewriting turns quantised operators and their neighbours into the integer kernels that
    run. Done once here, it holds whatever `graph_level` the measured session has.
    """
    import onnxruntime as ort

    path = work / "settled.onnx"
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    weights = "session.optimized_model_external_initializers_"
    options.add_session_config_entry(f"{weights}file_name", "settled.bin")
    options.add_session_config_entry(f"{weights}min_size_in_bytes", str(_SMALL_BYTES))
    # With prepacking, packed weights would be written beside the plain ones.
    options.add_session_config_entry("session.disable_prepacking", "1")
    ort.InferenceSession(
        str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
    )
    return path


def save(graph: Path, folder: Path, more_facts: Mapping[str, Any]) -> None:
    """Write the final graph and its facts; `more_facts` are those that the graph does not show."""
    import onnx

    model = onnx.load(str(graph))
    (folder / FACTS_FILE).write_text(json.dumps({**read(model), **more_facts}))
    for part in (model.graph, *model.functions):
        for node in part.node:  # torch's newer exporter notes stack traces, which name folders
            del node.metadata_props[:]
    onnx.save(
        model, str(folder / GRAPH_FILE), save_as_external_data=True, all_tensors_to_one_file=True,
        location=WEIGHTS_FILE, size_threshold=_SMALL_BYTES,
    )  # fmt: skip


def read(model: Any) -> dict[str, Any]:
    """The graph's facts: sizes, operators, the precision of the products, how it was rounded."""
    import onnx

    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    if not weights:
        raise ModelError("the exported graph holds no weights", "report this model as a bug")
    nodes = list(model.graph.node)
    operators = Counter(node.op_type for node in nodes)
    products = Counter(_products(nodes, set(weights)))
    return {
        "weights_bytes": sum(array.nbytes for array in weights.values()),
        "operators": dict(operators),
        "products": dict(products),
        "precision": precision_of(products),
        "int8_products": "all" if products["int8 attention"] else "linear",
        "attention": _first(_ATTENTION, operators) or "plain",
        "layer_norm": "joined" if _JOINED_NORMS & set(operators) else "apart",
        "gelu": _first(_GELU, operators),
        **_quantised(nodes, weights, operators),
    }


def precision_of(products: Counter[str]) -> str | None:
    """The precision of most linear layers; None if that is fp32 beside a narrower product."""
    linear = Counter({k.split()[0]: n for k, n in products.items() if k.endswith("linear")})
    if not linear:
        return None
    most = linear.most_common(1)[0][0]
    narrow = any(not kind.startswith("fp32") for kind in products)
    return None if most == "fp32" and narrow else most


def _products(nodes: list[Any], constants: set[str]) -> Iterator[str]:
    """Each matrix product as "int8 linear" (by weights) or "fp32 attention" (of activations)."""
    for node in nodes:
        kind = node.op_type
        if kind in _MOVED_ONLY and node.input[0] in constants:
            constants = constants | set(node.output)
        if kind in _WEIGHT_AT:
            arithmetic = "int8" if kind in _INTEGER else "fp32"
            if kind == "MatMulNBits":
                arithmetic = f"int{_attribute(node, 'bits')}"
            yield f"{arithmetic} {'linear' if _weight(node) in constants else 'attention'}"
        if kind in _ATTENTION:
            yield from ("fp32 attention", "fp32 attention")  # the two products inside it


def _attribute(node: Any, name: str) -> int | None:
    return next((int(a.i) for a in node.attribute if a.name == name), None)


def _first(named: Mapping[str, str], operators: Counter[str]) -> str | None:
    return next((word for kind, word in named.items() if operators[kind]), None)


def _quantised(
    nodes: list[Any], weights: Mapping[str, Any], operators: Counter[str]
) -> dict[str, Any]:
    """How weights and activations were rounded; None for what does not apply."""
    blocks = [n for n in nodes if n.op_type == "MatMulNBits"]
    layers = [n for n in nodes if n.op_type in _INTEGER and _weight(n) in weights]
    held = [weights[_weight(n)] for n in layers]
    scales = [weights[s] for n in layers if (s := _scale(n)) in weights]
    tables = [weights[i] for n in nodes if n.op_type in _TABLES for i in n.input if i in weights]
    way = _first(_DYNAMIC, operators) or ("static" if layers else None)
    return {
        "way": "int4" if blocks else way,
        "sign": _same("signed" if a.dtype.kind == "i" else "unsigned" for a in held),
        "scale": _same("channel" if a.size > 1 else "tensor" for a in scales),
        "range": _same(_range(a) for a in held),
        "embedding": "int8" if any(a.dtype.itemsize == 1 for a in tables) else "fp32",
        "block_size": _same(_attribute(n, "block_size") for n in blocks),
        "accuracy_level": _same(_attribute(n, "accuracy_level") for n in blocks),
    }


def _weight(node: Any) -> str:
    return str(node.input[_WEIGHT_AT[node.op_type][0]])


def _scale(node: Any) -> str:
    """The input that holds the scales; empty for an operator that takes none."""
    at = _WEIGHT_AT[node.op_type][1]
    return "" if at is None else str(node.input[at])


def _range(array: Any) -> str:
    """Whether weights use all 8 bits or 7, which reach from -64 to 64 or from 0 to 127."""
    largest = int(abs(array.astype("int16")).max(initial=0))
    return "reduced" if largest <= (64 if array.dtype.kind == "i" else 127) else "full"


def _same(values: Iterable[Any]) -> Any:
    """The value that all share; None if they differ or there are none."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None
