"""OpenVINO: the traced graph on its CPU plugin, with bf16, int8 or 4-bit weights on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import (
    Batch,
    LoadRequest,
    Outputs,
    Traits,
    installed,
    refuse,
    refuse_values,
)
from honed.backends.openvino._package import PRELOAD_ENVIRONMENT as _PRELOAD_ENVIRONMENT
from honed.backends.openvino._package import import_openvino
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, Span, Value
from honed.machine import topology
from honed.machine.facts import package_versions

HELP = "OpenVINO: traced once, quantised by NNCF on request, cached"
EXTRA = "openvino"
REFERENCE = "torch"
PRECISIONS = ("fp32", "bf16", "int8", "int4")
TRAITS = Traits(
    expert_rank=0,  # it fuses the most of an int8 encoder; its published figures lead
    preload_environment=_PRELOAD_ENVIRONMENT,
    calibrated=("int8",),
)


def _has_siblings(value: Value) -> Availability:
    """The engine answers "off" to "on" where no core has two threads."""
    cpus = topology.read()
    if value == "off" or len(cpus.physical()) < len(cpus.cpus):
        return AVAILABLE
    return Availability(False, "no core here runs two threads", "openvino.hyper_threading=off")


STREAMS = Knob(
    name="openvino.streams",
    help="requests it can work on side by side; the threads are divided among them",
    values=Span(1, 64),
    scale="log2",
)
HYPER_THREADING = Knob(
    name="openvino.hyper_threading",
    help="whether it may use both threads of a core",
    values=("on", "off"),
    available_value=_has_siblings,
)
PINNING = Knob(
    name="openvino.pinning",
    help="whether it ties its threads to cores itself",
    values=("on", "off"),
)
HINT = Knob(
    name="openvino.hint",
    help="what it chooses streams for, where they are not given",
    values=("latency", "throughput"),
)
KNOBS = (STREAMS, HYPER_THREADING, PINNING, HINT)

_GRAPH_FILE = "model.xml"
# Its names for the types of a matrix product: of the inputs, or of the weights where only these
# are narrow.
_TYPES = {
    "f32": "fp32", "bf16": "bf16", "f16": "fp16", "u8": "int8", "i8": "int8", "u4": "int4",
    "i4": "int4",
}  # fmt: skip
_PRODUCTS = ("FullyConnected", "MatMul")


def available() -> Availability:
    modules = {"openvino": "openvino", "nncf": "nncf", "torch": "torch"}
    return installed(modules, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("openvino", "nncf", "torch", "transformers"))


def check(case: Case) -> None:
    refuse(case, "openvino", PRECISIONS)
    if case.device != "cpu":
        raise UnsupportedError("OpenVINO has no NVIDIA GPUs", "device=cpu")
    refuse_values(case, KNOBS)


def start() -> None:
    import_openvino()


def artifact(request: LoadRequest) -> Mapping[str, Any]:
    checkpoint = request.checkpoint
    return {
        "format": 3,
        "checkpoint": checkpoint.key,
        "task": checkpoint.task,
        "pooling": checkpoint.pooling,
        # bf16 is fp32's graph: the plugin rounds its weights as it compiles.
        "graph": "fp32" if request.case.precision == "bf16" else request.case.precision,
        "calibration": request.calibration_key if request.case.precision == "int8" else None,
        **versions(),
    }


def build(request: LoadRequest, folder: Path) -> None:
    from honed.backends.openvino import _graph

    _graph.write(request, folder / _GRAPH_FILE)


def load(request: LoadRequest, artifact: Path | None) -> OpenvinoStep:
    assert artifact is not None, "this engine always exports"
    return OpenvinoStep(request, artifact)


class OpenvinoStep:
    """One infer request. Feeds are tuples of tensors on the caller's arrays."""

    def __init__(self, request: LoadRequest, artifact: Path) -> None:
        ov = import_openvino()
        core = ov.Core()
        if request.case.precision == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise UnsupportedError(
                "this CPU has no bf16 matrix products, and OpenVINO would run fp32 instead",
                "precision=fp32 or int8",
            )
        model = core.read_model(str(artifact / _GRAPH_FILE))
        self.weights_bytes = _constant_bytes(model)
        self.input_names = [i.get_any_name() for i in model.inputs]
        self.output_names = [o.get_any_name() for o in model.outputs]
        self._tensor = ov.Tensor
        self._calibrated = request.calibrated_on if request.case.precision == "int8" else None
        self.compiled = core.compile_model(model, "CPU", _properties(request))
        self.request = self.compiled.create_infer_request()

    def prepare(self, batch: Batch) -> Any:
        import numpy as np

        arrays = (np.ascontiguousarray(batch[name]) for name in self.input_names)
        return tuple(self._tensor(array, shared_memory=True) for array in arrays)

    def run(self, feed: Any) -> Any:
        # Not shared: the request's own output tensors are overwritten by the next call.
        return self.request.infer(feed, share_inputs=True, share_outputs=False)

    def outputs(self, raw: Any) -> Outputs:
        return {name: raw[index] for index, name in enumerate(self.output_names)}

    def tensor_peak_bytes(self, feed: Any) -> int | None:  # noqa: ARG002
        """Unknown: the plugin tells nothing of its memory."""
        return None

    def device_memory(self, feed: Any) -> Mapping[str, int]:  # noqa: ARG002
        return {}

    def read_back(self) -> Mapping[str, Value | None]:
        ask = self.compiled.get_property
        graph = self.compiled.get_runtime_model()
        products = _products(graph)
        return {
            "threads": int(ask("INFERENCE_NUM_THREADS")),
            "precision": _precision_of(products),
            "device": "cpu" if ask("EXECUTION_DEVICES") == ["CPU"] else None,
            STREAMS.name: int(ask("NUM_STREAMS")),
            HYPER_THREADING.name: _on_off(ask("ENABLE_HYPER_THREADING")),
            PINNING.name: _on_off(ask("ENABLE_CPU_PINNING")),
            HINT.name: str(ask("PERFORMANCE_HINT")).lower(),
            "calibration": self._calibrated,
            "products": ", ".join(f"{n} {kind}" for kind, n in products.most_common()),
            "kernels": ", ".join(_kernels(graph)),
        }

    def close(self) -> None:
        del self.request, self.compiled


def _properties(request: LoadRequest) -> dict[str, Any]:
    case = request.case
    # fp32 has to be asked for: on a CPU with bf16 the plugin's default is bf16. What int8 and
    # int4 leave unquantised is fp32 too, as in every other engine.
    wanted: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if case.precision == "bf16" else "f32"
    }
    streams, pinning, hint = (case.get(k.name) for k in (STREAMS, PINNING, HINT))
    if request.threads is not None:
        wanted["INFERENCE_NUM_THREADS"] = request.threads
        # Every process would tie its threads to the same first cores.
        wanted["ENABLE_CPU_PINNING"] = False
        if hint is None:  # a hint is asked for so that it chooses the streams
            wanted["NUM_STREAMS"] = 1
    if streams is not None:
        wanted["NUM_STREAMS"] = streams
    if pinning is not None:
        wanted["ENABLE_CPU_PINNING"] = pinning == "on"
    if hint is not None:
        wanted["PERFORMANCE_HINT"] = str(hint).upper()
    if (siblings := case.get(HYPER_THREADING.name)) is not None:
        wanted["ENABLE_HYPER_THREADING"] = siblings == "on"
    return wanted


def _on_off(value: Any) -> str:
    return "on" if value else "off"


def _products(graph: Any) -> Counter[str]:
    """What the matrix products of the compiled graph run in, as the plugin names it."""
    return Counter(_told(graph, "runtimePrecision"))


def _kernels(graph: Any) -> list[str]:
    """The implementations behind the products, with the instruction set in their names."""
    return sorted(set(_told(graph, "primitiveType")))


def _told(graph: Any, fact: str) -> Iterator[str]:
    """What the plugin says of each matrix product."""
    for node in graph.get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in _PRODUCTS:
            yield facts[fact].astype(str)


def _precision_of(products: Counter[str]) -> str | None:
    """What most products run in. A single narrower one and it is not fp32."""
    named: Counter[str] = Counter()
    for kind, count in products.items():
        named[_TYPES.get(kind, kind)] += count
    if not named:
        return None
    first = named.most_common(1)[0][0]
    return None if first == "fp32" and len(named) > 1 else first


def _constant_bytes(model: Any) -> int:
    return sum(
        int(op.get_byte_size()) for op in model.get_ops() if op.get_type_name() == "Constant"
    )
