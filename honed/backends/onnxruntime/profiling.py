"""ONNX Runtime's profiler: the nodes of one call, from the trace that a session writes."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from honed.profile import BETWEEN, OperatorEvent
from honed.step import FORWARD

_CALLS = 3  # the last one counts: the first ones allocate
_KERNEL = "_kernel_time"
_BYTES = {"float": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "uint8": 1, "int8": 1}
_PRODUCTS = ("MatMul", "FusedMatMul", "Gemm", "MatMulInteger", "MatMulIntegerToFloat",
             "DynamicQuantizeMatMul", "MatMulNBits")  # fmt: skip
_ATTENTION = "MultiHeadAttention"  # of queries, keys and values [batch, length, width]


def profile_call(
    make_session: Callable[[Any], Any], options: Any, feed: Any
) -> list[OperatorEvent]:
    """The nodes of one call of a session that is made with `options` and the profiler on."""
    with tempfile.TemporaryDirectory(prefix="honed-") as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = make_session(options)
        for _ in range(_CALLS):
            session.run(None, feed)
        trace = json.loads(Path(session.end_profiling()).read_text())
    return events_of(trace)


def events_of(trace: Sequence[Mapping[str, Any]]) -> list[OperatorEvent]:
    """The nodes of the last call in the trace, and what is left of the call."""
    runs = [event for event in trace if event.get("name") == "model_run"]
    if not runs:
        return []
    last = max(runs, key=lambda run: int(run["ts"]))
    began, ends = int(last["ts"]), int(last["ts"]) + int(last["dur"])
    nodes = [
        event
        for event in trace
        if event.get("cat") == "Node"
        and str(event["name"]).endswith(_KERNEL)
        and began <= int(event["ts"]) < ends
    ]
    events = [_event(node, began) for node in nodes]
    call_s = (ends - began) / 1e6
    left_s = max(0.0, call_s - sum(event.self_s for event in events))
    return [OperatorEvent(BETWEEN, "", FORWARD, 0.0, call_s, left_s), *events]


def _event(node: Mapping[str, Any], began: int) -> OperatorEvent:
    facts = node["args"]
    taken_s = int(node["dur"]) / 1e6
    inputs, outputs = (
        [pair for tensor in facts.get(f"{side}_type_shape", ()) for pair in tensor.items()]
        for side in ("input", "output")
    )
    op = str(facts["op_name"])
    flops = _flops(op, [shape for _, shape in inputs], [shape for _, shape in outputs])
    known = [math.prod(shape) * _BYTES[kind] for kind, shape in inputs if kind in _BYTES]
    return OperatorEvent(
        op, _module(str(node["name"]).removesuffix(_KERNEL)), FORWARD,
        (int(node["ts"]) - began) / 1e6, taken_s, taken_s, 1,
        flops, sum(known) if known else None,
    )  # fmt: skip


def _flops(
    op: str, inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]
) -> int | None:
    """Of a product or of fused attention, by its shapes; None for other operators. Weights that
    are laid out anew are not among the inputs."""
    if op in _PRODUCTS and inputs and outputs:
        return 2 * math.prod(inputs[0]) * outputs[0][-1]
    if op == _ATTENTION and len(inputs) > 1 and len(inputs[0]) == len(inputs[1]) == 3:
        return 4 * math.prod(inputs[0]) * inputs[1][1]  # the scores, and the sum of the values
    return None


def _module(name: str) -> str:
    """ "/encoder/layer.0/output/dense/MatMul" -> "encoder.layer.0.output.dense"."""
    return name.strip("/").rpartition("/")[0].replace("/", ".")
