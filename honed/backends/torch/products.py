"""Count the matrix products with weights by the precision that they run in.

They are counted in one profiled call, or in a graph. Products of two activations (in attention)
are left out: no setting of this backend changes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

# Operators that multiply by weights, by their names in the profiler and in a graph. The precision
# of integer ones follows from the name, that of the others from the types of their inputs.
_BY_TYPE = {"addmm", "mm", "_linear_pointwise", "_mkl_linear", "_addmm_activation"}
_BY_NAME = {
    "linear_dynamic": "int8", "qlinear_pointwise": "int8", "_weight_int8pack_mm": "int8",
    "_weight_int4pack_mm_for_cpu": "int4", "_weight_int4pack_mm": "int4", "_int_mm": "int8",
}  # fmt: skip
_TYPES = {
    "float": "fp32", "float32": "fp32", "c10::BFloat16": "bf16", "bfloat16": "bf16",
    "c10::Half": "fp16", "float16": "fp16",
}  # fmt: skip


def of_call(call: Callable[[], Any]) -> Counter[str]:
    """The products of one call, by the profiler."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as prof:
        call()
    events = prof.profiler.kineto_results.events()
    kinds = (_kind(_operator(event.name()), event.dtypes()) for event in events)
    return Counter(kind for kind in kinds if kind)


def of_graph(graph: Any) -> Counter[str]:
    """The products of an FX graph that Inductor compiled."""
    counts: Counter[str] = Counter()
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        values = (arg.meta.get("val") for arg in node.all_input_nodes)
        types = [str(v.dtype).removeprefix("torch.") for v in values if hasattr(v, "dtype")]
        kind = _kind(_operator(str(node.target)), types)
        if kind:
            counts[kind] += 1
    return counts


def _operator(name: str) -> str:
    """ "aten::addmm" and "aten.addmm.default" -> "addmm"."""
    return name.rpartition("::")[2] if "::" in name else [*name.split("."), ""][1]


def _kind(operator: str, types: Iterable[str]) -> str | None:
    if operator in _BY_NAME:
        return _BY_NAME[operator]
    if operator not in _BY_TYPE:
        return None
    known = {_TYPES[t] for t in types if t in _TYPES}
    return known.pop() if len(known) == 1 else None
