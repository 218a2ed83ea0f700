"""OpenVINO's profiler: the nodes of a call, from the counters of the CPU plugin."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from honed.profile import BETWEEN, OperatorEvent
from honed.step import FORWARD

_CALLS = 20


def profile_call(request: Any, feed: Any, flops: Mapping[str, int]) -> list[OperatorEvent]:
    """The nodes of one call of an infer request whose model counts. `flops` are of each node that
    is a matrix product, by its name."""
    began = time.perf_counter()
    for _ in range(_CALLS):  # the plugin gives the mean of all calls, the first too
        request.infer(feed, share_inputs=True, share_outputs=False)
    call_s = (time.perf_counter() - began) / _CALLS
    return events_of(request.profiling_info, call_s, flops)


def flops_by_node(model: Any, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The FLOPs of each product for inputs of these shapes, by the name of its node. The model is
    given the shapes, so it must not be used for anything else; one that does not take them has no
    FLOPs."""
    try:
        model.reshape({name: list(shape) for name, shape in shapes.items()})
    except RuntimeError:
        return {}
    found = {}
    for node in model.get_ops():
        if node.get_type_name() == "MatMul" and not node.output(0).get_partial_shape().is_dynamic:
            left, result = node.get_input_shape(0), node.get_output_shape(0)
            inner = left[-2 if node.get_attributes()["transpose_a"] else -1]
            found[node.get_friendly_name()] = 2 * math.prod(result) * int(inner)
    return found


def events_of(
    nodes: Iterable[Any], call_s: float, flops: Mapping[str, int]
) -> list[OperatorEvent]:
    """The nodes that ran, one after the other as the plugin lists them, and what is left of the
    call. The plugin tells how long each node took, but not when it began."""
    events: list[OperatorEvent] = []
    began_s = 0.0
    for node in nodes:
        taken_s = node.real_time.total_seconds()
        if taken_s > 0:
            name = node.node_name
            module = name.strip("/").rpartition("/")[0].replace("/", ".")
            event = OperatorEvent(node.node_type, module, FORWARD, began_s, taken_s, taken_s, 1)
            events.append(replace(event, flops=flops.get(name)))
            began_s += taken_s
    left_s = max(0.0, call_s - began_s)
    return [OperatorEvent(BETWEEN, "", FORWARD, 0.0, call_s, left_s), *events]
