"""The session that is timed, and the knobs that it takes when it is made.

What is read back comes from the session's own options, not from those handed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import Batch, LoadRequest, Outputs
from honed.backends.onnxruntime import fuse, int4, int8_static, rounding
from honed.backends.onnxruntime.export import OUTPUT_PREFIX
from honed.backends.onnxruntime.graph import FACTS_FILE, GRAPH_FILE
from honed.knob import Knob, Value

GRAPH = Knob(
    name="onnxruntime.graph_level",
    help="how far the session itself rewrites the graph",
    values=("off", "basic", "extended", "layout", "all"),
)
EXECUTION = Knob(
    name="onnxruntime.execution",
    help="operators one after the other on all threads, or side by side on one thread each",
    values=("sequential", "parallel"),
)
ARENA = Knob(
    name="onnxruntime.arena",
    help="tensors from memory that the session keeps, or from the allocator at every call",
    values=("on", "off"),
)
PATTERN = Knob(
    name="onnxruntime.memory_pattern",
    help="all tensors of a call in one block, planned from the last call of the same shape",
    values=("on", "off"),
)
BLOCKS = Knob(
    name="onnxruntime.dynamic_block_base",
    help="parts per thread that a loop is cut into, so that a slow core holds up less; 0: equal",
    values=(0, 1, 2, 4, 8, 16),
    scale="log2",
)
SPINNING = Knob(
    name="onnxruntime.spinning",
    help="threads wait for the next operator busily, or asleep",
    values=("on", "off"),
)
DENORMALS = Knob(
    name="onnxruntime.denormals",
    help="numbers too small for full precision are kept, or taken for zero",
    values=("kept", "zero"),
)
PREPACKING = Knob(
    name="onnxruntime.prepacking",
    help="weights copied into the kernels' own order once, or at every call",
    values=("on", "off"),
)
KNOBS = (GRAPH, EXECUTION, ARENA, PATTERN, BLOCKS, SPINNING, DENORMALS, PREPACKING)

# The session's names for the levels, in its GraphOptimizationLevel.
_LEVELS = {
    "off": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
_EXECUTIONS = {"sequential": "ORT_SEQUENTIAL", "parallel": "ORT_PARALLEL"}
_ATTRIBUTES = {ARENA.name: "enable_cpu_mem_arena", PATTERN.name: "enable_mem_pattern"}
# Knob -> the session's configuration key, and the words for its values; the first is the default.
_ENTRIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    SPINNING.name: ("session.intra_op.allow_spinning", {"on": "1", "off": "0"}),
    DENORMALS.name: ("session.set_denormal_as_zero", {"kept": "0", "zero": "1"}),
    PREPACKING.name: ("session.disable_prepacking", {"on": "0", "off": "1"}),
}
_BLOCKS_KEY = "session.dynamic_block_base"


class OnnxStep:
    """A session. Feeds are dicts of arrays, outputs a list of arrays."""

    def __init__(self, request: LoadRequest, artifact: Path) -> None:
        import onnxruntime as ort

        self._facts: dict[str, Any] = json.loads((artifact / FACTS_FILE).read_text())
        self.weights_bytes = int(self._facts["weights_bytes"])
        self._calibrated = request.calibrated_on
        self.session = ort.InferenceSession(
            str(artifact / GRAPH_FILE), _options(request), providers=["CPUExecutionProvider"],
            disabled_optimizers=self._facts["disabled"],
        )  # fmt: skip
        self.input_names = [i.name for i in self.session.get_inputs()]
        outputs = self.session.get_outputs()
        self.output_names = [o.name.removeprefix(OUTPUT_PREFIX) for o in outputs]

    def prepare(self, batch: Batch) -> Any:
        return {name: batch[name] for name in self.input_names}

    def run(self, feed: Any) -> Any:
        return self.session.run(None, feed)

    def outputs(self, raw: Any) -> Outputs:
        return dict(zip(self.output_names, raw, strict=True))

    def tensor_peak_bytes(self, feed: Any) -> int | None:  # noqa: ARG002
        """Unknown: its Python interface shows nothing of the arena."""
        return None

    def device_memory(self, feed: Any) -> Mapping[str, int]:  # noqa: ARG002
        return {}

    def read_back(self) -> Mapping[str, Value | None]:
        facts = self._facts
        return {
            "precision": facts["precision"],
            "device": "cpu",
            **_told(self.session.get_session_options()),
            **_told_by_graph(facts),
            "calibration": self._calibrated if facts["way"] == "static" else None,
        }

    def close(self) -> None:
        del self.session


def _options(request: LoadRequest) -> Any:
    import onnxruntime as ort

    case, options = request.case, ort.SessionOptions()
    options.log_severity_level = 3
    level, execution = case.get(GRAPH.name), case.get(EXECUTION.name)
    if level is not None:
        named = getattr(ort.GraphOptimizationLevel, _LEVELS[str(level)])
        options.graph_optimization_level = named
    if execution is not None:
        options.execution_mode = getattr(ort.ExecutionMode, _EXECUTIONS[str(execution)])
    if request.threads is not None:
        # A size given by hand also stops the session from pinning its threads itself.
        side_by_side = execution == "parallel"
        options.intra_op_num_threads = 1 if side_by_side else request.threads
        # The thread that calls counts as one of these, and only waits.
        options.inter_op_num_threads = request.threads + 1 if side_by_side else 1
    for name, attribute in _ATTRIBUTES.items():
        if (value := case.get(name)) is not None:
            setattr(options, attribute, value == "on")
    for name, (key, words) in _ENTRIES.items():
        if (value := case.get(name)) is not None:
            options.add_session_config_entry(key, words[str(value)])
    if (blocks := case.get(BLOCKS.name)) is not None:
        options.add_session_config_entry(_BLOCKS_KEY, str(blocks))
    return options


def _told(options: Any) -> dict[str, Value | None]:
    """What the session says of itself."""
    level, execution = options.graph_optimization_level.name, options.execution_mode.name
    side_by_side = execution == _EXECUTIONS["parallel"]
    intra, inter = options.intra_op_num_threads, options.inter_op_num_threads
    told: dict[str, Value | None] = {
        "threads": (max(0, inter - 1) if side_by_side else intra) or None,
        "caller": "waits" if side_by_side else None,
        "inter_op_threads": inter or None,
        GRAPH.name: {v: k for k, v in _LEVELS.items()}.get(level, level),
        EXECUTION.name: {v: k for k, v in _EXECUTIONS.items()}.get(execution, execution),
        BLOCKS.name: int(_entry(options, _BLOCKS_KEY) or 0),
    }
    for name, attribute in _ATTRIBUTES.items():
        told[name] = "on" if getattr(options, attribute) else "off"
    for name, (key, words) in _ENTRIES.items():
        found = _entry(options, key)
        named = {v: k for k, v in words.items()}
        told[name] = next(iter(words)) if found is None else named.get(found, found)
    return told


def _told_by_graph(facts: Mapping[str, Any]) -> dict[str, Value | None]:
    """What the finished graph was found to hold, by the knobs that shaped it."""
    levels = {v: k for k, v in int4.LEVELS.items()}
    return {
        fuse.FUSION.name: "on" if facts["fused"] else "off",
        fuse.ATTENTION.name: facts["attention"],
        fuse.GELU.name: facts["gelu"],
        fuse.NORM.name: _norms(facts),
        rounding.INT8.name: facts["way"] if facts["way"] in rounding.INT8.values else None,
        rounding.SIGN.name: facts["sign"],
        rounding.SCALE.name: facts["scale"],
        rounding.RANGE.name: facts["range"],
        rounding.EMBEDDING.name: facts["embedding"],
        int8_static.PRODUCTS.name: facts["int8_products"],
        int4.BLOCK.name: facts["block_size"],
        int4.COMPUTE.name: levels.get(facts["accuracy_level"]),
        "fused": _counts(facts["fused"]),
        "products": _counts(facts["products"]),
    }


def _norms(facts: Mapping[str, Any]) -> str | None:
    """Apart only where the session may not join them either."""
    kept = set(fuse.JOINING_NORMS) <= set(facts["disabled"])
    return "joined" if facts["layer_norm"] == "joined" else "apart" if kept else None


def _entry(options: Any, key: str) -> str | None:
    """A configuration entry, or None where nobody set it: the session raises then."""
    try:
        return str(options.get_session_config_entry(key))
    except RuntimeError:
        return None


def _counts(found: Mapping[str, int]) -> str | None:
    return ", ".join(f"{n} {kind}" for kind, n in found.items()) or None
