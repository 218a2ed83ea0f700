"""The session that is timed, and the knobs that it takes when it is made.

They are read back from the finished session's options, not from those that were passed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from honed.backends.base import Batch, LoadRequest, Outputs, Step
from honed.backends.onnxruntime import fuse, int4, int8_static, profiling, rounding
from honed.backends.onnxruntime.delivered import session_options
from honed.backends.onnxruntime.export import OUTPUT_PREFIX
from honed.backends.onnxruntime.graph import FACTS_FILE, GRAPH_FILE
from honed.knob import Knob, Value
from honed.profile import OperatorEvent

GRAPH = Knob("onnxruntime.graph_level", "how much the session itself rewrites the graph",
             ("off", "basic", "extended", "layout", "all"))  # fmt: skip
EXECUTION = Knob("onnxruntime.execution",
                 "operators one after the other on all threads, or in parallel on one thread each",
                 ("sequential", "parallel"))  # fmt: skip
ARENA = Knob("onnxruntime.arena",
             "tensors from memory that the session keeps, or from the allocator in each call",
             ("on", "off"))  # fmt: skip
PATTERN = Knob("onnxruntime.memory_pattern",
               "allocate a call's tensors in one block, planned from the last call of that shape",
               ("on", "off"))  # fmt: skip
BLOCKS = Knob("onnxruntime.dynamic_block_base",
              "cut loops into parts per thread, so that a slow core delays less; 0: equal parts",
              (0, 1, 2, 4, 8, 16), scale="log2")  # fmt: skip
SPINNING = Knob("onnxruntime.spinning",
                "whether threads spin or sleep while they wait for the next operator",
                ("on", "off"))  # fmt: skip
DENORMALS = Knob("onnxruntime.denormals",
                 "keep numbers that are too small for full precision, or treat them as zero",
                 ("kept", "zero"))  # fmt: skip
PREPACKING = Knob("onnxruntime.prepacking",
                  "copy weights into the kernels' layout once, or in each call",
                  ("on", "off"))  # fmt: skip
KNOBS = (GRAPH, EXECUTION, ARENA, PATTERN, BLOCKS, SPINNING, DENORMALS, PREPACKING)

# The session's names for the levels, in its GraphOptimizationLevel.
_LEVELS = {
    "off": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT", "all": "ORT_ENABLE_ALL",
}  # fmt: skip
_EXECUTIONS = {"sequential": "ORT_SEQUENTIAL", "parallel": "ORT_PARALLEL"}
_ATTRIBUTES = {ARENA.name: "enable_cpu_mem_arena", PATTERN.name: "enable_mem_pattern"}
# Knob -> the session's configuration key, and the words for its values; the first is the default.
_ENTRIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    SPINNING.name: ("session.intra_op.allow_spinning", {"on": "1", "off": "0"}),
    DENORMALS.name: ("session.set_denormal_as_zero", {"kept": "0", "zero": "1"}),
    PREPACKING.name: ("session.disable_prepacking", {"on": "0", "off": "1"}),
}
_BLOCKS_KEY = "session.dynamic_block_base"


class OnnxStep(Step):
    """Feeds are dicts of arrays, raw outputs a list of arrays."""

    def __init__(self, request: LoadRequest, artifact: Path) -> None:
        self._request, self._artifact = request, artifact
        self._facts: dict[str, Any] = json.loads((artifact / FACTS_FILE).read_text())
        self.weights_bytes = int(self._facts["weights_bytes"])
        is_static = self._facts["way"] == "static"
        self._calibration = request.read_back_calibration(used=is_static)
        self.session = self._made(session_options(settings(request)))
        self.input_names = [i.name for i in self.session.get_inputs()]
        outputs = self.session.get_outputs()
        self.output_names = [o.name.removeprefix(OUTPUT_PREFIX) for o in outputs]

    def _made(self, options: Any) -> Any:
        import onnxruntime as ort

        return ort.InferenceSession(
            str(self._artifact / GRAPH_FILE), options, providers=["CPUExecutionProvider"],
            disabled_optimizers=self._facts["disabled"],
        )  # fmt: skip

    def profile(self, feed: Any) -> Sequence[OperatorEvent]:
        """By a second session, because a session profiles from its beginning or not at all."""
        return profiling.profile_call(self._made, session_options(settings(self._request)), feed)

    def prepare(self, batch: Batch) -> Any:
        return {name: batch[name] for name in self.input_names}

    def run(self, feed: Any) -> Any:
        return self.session.run(None, feed)

    def outputs(self, raw: Any) -> Outputs:
        return dict(zip(self.output_names, raw, strict=True))

    def read_back(self) -> Mapping[str, Value | None]:
        return {
            "precision": self._facts["precision"],
            "device": "cpu",
            **_read_options(self.session.get_session_options()),
            **_read_graph(self._facts),
            "calibration": self._calibration,
        }

    def close(self) -> None:
        del self.session


def settings(request: LoadRequest) -> dict[str, Any]:
    """What `delivered.session_options` sets, as plain data."""
    case = request.case
    level, execution = case.get(GRAPH.name), case.get(EXECUTION.name)
    attributes: dict[str, int] = {
        a: v == "on" for n, a in _ATTRIBUTES.items() if (v := case.get(n)) is not None
    }
    entries = {
        key: words[str(value)]
        for name, (key, words) in _ENTRIES.items()
        if (value := case.get(name)) is not None
    }
    if (blocks := case.get(BLOCKS.name)) is not None:
        entries[_BLOCKS_KEY] = str(blocks)
    if request.threads is not None:
        # A given size also stops the session from pinning threads to cores.
        parallel = execution == "parallel"
        attributes["intra_op_num_threads"] = 1 if parallel else request.threads
        # The calling thread counts as one of these but only waits.
        attributes["inter_op_num_threads"] = request.threads + 1 if parallel else 1
    return {
        "graph_optimization_level": None if level is None else _LEVELS[str(level)],
        "execution_mode": None if execution is None else _EXECUTIONS[str(execution)],
        "attributes": attributes,
        "entries": entries,
    }


def _read_options(options: Any) -> dict[str, Value | None]:
    """The settings in force, from the options of the finished session."""
    level, execution = options.graph_optimization_level.name, options.execution_mode.name
    parallel = execution == _EXECUTIONS["parallel"]
    intra, inter = options.intra_op_num_threads, options.inter_op_num_threads
    settings: dict[str, Value | None] = {
        "threads": (max(0, inter - 1) if parallel else intra) or None,
        "caller": "waits" if parallel else None,
        "inter_op_threads": inter or None,
        GRAPH.name: {v: k for k, v in _LEVELS.items()}.get(level, level),
        EXECUTION.name: {v: k for k, v in _EXECUTIONS.items()}.get(execution, execution),
        BLOCKS.name: int(_entry(options, _BLOCKS_KEY) or 0),
    }
    for name, attribute in _ATTRIBUTES.items():
        settings[name] = "on" if getattr(options, attribute) else "off"
    for name, (key, words) in _ENTRIES.items():
        entry = _entry(options, key)
        by_entry = {v: k for k, v in words.items()}
        settings[name] = next(iter(words)) if entry is None else by_entry.get(entry, entry)
    return settings


def _read_graph(facts: Mapping[str, Any]) -> dict[str, Value | None]:
    """The knobs that shaped the graph, as they show in the finished graph."""
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
    """ "apart" only if the session is kept from joining norms too; None if it is not."""
    kept = set(fuse.JOINING_NORMS) <= set(facts["disabled"])
    return "joined" if facts["layer_norm"] == "joined" else "apart" if kept else None


def _entry(options: Any, key: str) -> str | None:
    """A configuration entry; None if it is unset, for which the session raises."""
    try:
        return str(options.get_session_config_entry(key))
    except RuntimeError:
        return None


def _counts(counts: Mapping[str, int]) -> str | None:
    return ", ".join(f"{n} {kind}" for kind, n in counts.items()) or None
