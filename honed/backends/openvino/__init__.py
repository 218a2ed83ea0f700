"""OpenVINO: the traced graph on the CPU plugin, in fp32, bf16, int8 or with 4-bit weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from honed.backends import base
from honed.backends.base import Batch, Delivery, LoadRequest, Outputs, Step, Traits
from honed.backends.openvino._footprint import footprint as footprint
from honed.backends.openvino._package import PRELOAD_ENVIRONMENT as _PRELOAD_ENVIRONMENT
from honed.backends.openvino._package import import_openvino
from honed.backends.openvino._profiling import flops_by_node, profile_call
from honed.case import Case
from honed.errors import UnsupportedError
from honed.files import copy_files
from honed.knob import AVAILABLE, Availability, Knob, Span, Value
from honed.machine import topology
from honed.machine.facts import package_versions
from honed.models.heads import output_names
from honed.profile import OperatorEvent

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
    """The engine turns "on" into "off" where no core runs two threads."""
    cpus = topology.read()
    if value == "off" or len(cpus.physical()) < len(cpus.cpus):
        return AVAILABLE
    return Availability(False, "no core here runs two threads", "openvino.hyper_threading=off")


STREAMS = Knob("openvino.streams",
               "requests that it can compute in parallel; the threads are divided among them",
               Span(1, 64), scale="log2")  # fmt: skip
HYPER_THREADING = Knob("openvino.hyper_threading", "whether it may use both threads of a core",
                       ("on", "off"), available_value=_has_siblings)  # fmt: skip
PINNING = Knob("openvino.pinning", "whether it pins its threads to cores", ("on", "off"))
HINT = Knob("openvino.hint", "what it chooses the number of streams for, if that is not given",
            ("latency", "throughput"))  # fmt: skip
SHAPES = Knob("openvino.shapes",
              "static: compile for the one shape of all calls, so that no call has to work out "
              "the shapes of its tensors",
              ("static",), promising="static", one_shape=True)  # fmt: skip
KNOBS = (STREAMS, HYPER_THREADING, PINNING, HINT, SHAPES)

_GRAPH_FILE = "model.xml"
_SNIPPET = f"""import openvino

compiled = openvino.Core().compile_model("model/{_GRAPH_FILE}", "CPU")
outputs = compiled(batch)"""
# The plugin's names for the type of a matrix product (of its inputs, or of its weights if only
# they are narrow) -> precision.
_TYPES = {
    "f32": "fp32", "bf16": "bf16", "f16": "fp16", "u8": "int8", "i8": "int8", "u4": "int4",
    "i4": "int4",
}  # fmt: skip
_PRODUCTS = ("FullyConnected", "MatMul")


def available() -> Availability:
    modules = {"openvino": "openvino", "nncf": "nncf", "torch": "torch"}
    return base.installed(modules, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("openvino", "nncf", "torch", "transformers"))


def check(case: Case) -> None:
    base.refuse(case, "openvino", PRECISIONS)
    base.refuse_gpu(case, "OpenVINO")
    base.refuse_values(case, KNOBS)
    if _is_static(case) and (case.inputs is not None or case.lengths is not None):
        raise UnsupportedError(
            "openvino.shapes=static compiles the model for one shape, and these sequences have "
            "many lengths", "unset openvino.shapes, or name one sequence_length",
        )  # fmt: skip


def start() -> None:
    import_openvino()


def artifact(request: LoadRequest) -> Mapping[str, Any]:
    return {
        **base.about_model(request, 3),
        # bf16 shares the graph of fp32: the plugin rounds the weights when it compiles.
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


def deliver(request: LoadRequest, artifact: Path | None, folder: Path) -> Delivery:
    assert artifact is not None, "this engine always exports"
    copy_files(artifact, folder, _GRAPH_FILE, Path(_GRAPH_FILE).with_suffix(".bin").name)
    outputs = output_names(request.checkpoint.task, request.checkpoint.pooling)
    settings: dict[str, Any] = {"properties": _properties(request), "outputs": [*outputs]}
    if _is_static(request.case):
        settings["shape"] = [request.case.batch_size, request.case.sequence_length]
    packages = ("openvino", "numpy")
    return Delivery(Path(__file__).with_name("delivered.py"), settings, packages, _SNIPPET)


class Feed(tuple[Any, ...]):
    """Tensors that share memory with numpy arrays, and the request that computes them."""

    request: Any


class OpenvinoStep(Step):
    """The compiled model and its infer request.

    With static shapes both are for the shape of the Case. A batch of another shape (a check of the
    outputs may have one) gets a compiled model that lives as long as its feed.
    """

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
        constants = (op for op in model.get_ops() if op.get_type_name() == "Constant")
        self.weights_bytes = sum(int(op.get_byte_size()) for op in constants)
        self.input_names = [i.get_any_name() for i in model.inputs]
        self.output_names = [o.get_any_name() for o in model.outputs]
        self._tensor = ov.Tensor
        is_int8 = request.case.precision == "int8"
        self._calibration = request.read_back_calibration(used=is_int8)
        self._request, self._core, self._graph = request, core, artifact / _GRAPH_FILE
        case = request.case
        self._shape = (case.batch_size, case.sequence_length) if _is_static(case) else None
        self.compiled = core.compile_model(
            _shaped(model, self._shape), "CPU", _properties(request)
        )
        self.request = self.compiled.create_infer_request()

    def prepare(self, batch: Batch) -> Any:
        import numpy as np

        arrays = [np.ascontiguousarray(batch[name]) for name in self.input_names]
        feed = Feed(self._tensor(array, shared_memory=True) for array in arrays)
        feed.request = self._request_for(arrays[0].shape)
        return feed

    def _request_for(self, shape: tuple[int, ...]) -> Any:
        if self._shape is None or shape == self._shape:
            return self.request
        model = _shaped(self._core.read_model(str(self._graph)), shape)
        compiled = self._core.compile_model(model, "CPU", _properties(self._request))
        return compiled.create_infer_request()

    def run(self, feed: Feed) -> Any:
        # Outputs are not shared: the next call overwrites the request's output tensors.
        return feed.request.infer(feed, share_inputs=True, share_outputs=False)

    def profile(self, feed: Feed) -> Sequence[OperatorEvent]:
        """By a second compiled model: counting is a property of the compilation."""
        shape = None if self._shape is None else tuple(feed[0].shape)
        model = _shaped(self._core.read_model(str(self._graph)), shape)
        properties = {**_properties(self._request), "PERF_COUNT": True}
        counting = self._core.compile_model(model, "CPU", properties)
        shapes = dict(zip(self.input_names, (tensor.shape for tensor in feed), strict=True))
        return profile_call(counting.create_infer_request(), feed, flops_by_node(model, shapes))

    def outputs(self, raw: Any) -> Outputs:
        return {name: raw[index] for index, name in enumerate(self.output_names)}

    def read_back(self) -> Mapping[str, Value | None]:
        read = self.compiled.get_property
        graph = self.compiled.get_runtime_model()
        # The types that the products run in, and their kernels, whose names hold the instructions.
        products = Counter(_facts_of_products(graph, "runtimePrecision"))
        kernels = sorted(set(_facts_of_products(graph, "primitiveType")))
        return {
            "threads": int(read("INFERENCE_NUM_THREADS")),
            "precision": base.precision_of_most(_TYPES.get(k, k) for k in products.elements()),
            "device": "cpu" if read("EXECUTION_DEVICES") == ["CPU"] else None,
            STREAMS.name: int(read("NUM_STREAMS")),
            HYPER_THREADING.name: _on_off(read("ENABLE_HYPER_THREADING")),
            PINNING.name: _on_off(read("ENABLE_CPU_PINNING")),
            HINT.name: str(read("PERFORMANCE_HINT")).lower(),
            SHAPES.name: "dynamic" if _is_dynamic(self.compiled) else "static",
            "calibration": self._calibration,
            "products": ", ".join(f"{n} {kind}" for kind, n in products.most_common()),
            "kernels": ", ".join(kernels),
        }

    def close(self) -> None:
        del self.request, self.compiled


def _properties(request: LoadRequest) -> dict[str, Any]:
    case = request.case
    # On a CPU with bf16 the plugin's default is bf16, so fp32 is set explicitly. Operators that
    # int8 and int4 leave unquantised then run in fp32 too, as in every other engine.
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if case.precision == "bf16" else "f32"
    }
    streams, pinning, hint = (case.get(k.name) for k in (STREAMS, PINNING, HINT))
    if request.threads is not None:
        properties["INFERENCE_NUM_THREADS"] = request.threads
        # Otherwise the plugin pins every process's threads to the same first cores.
        properties["ENABLE_CPU_PINNING"] = False
        if hint is None:  # with a hint, the plugin chooses the streams
            properties["NUM_STREAMS"] = 1
    if streams is not None:
        properties["NUM_STREAMS"] = streams
    if pinning is not None:
        properties["ENABLE_CPU_PINNING"] = pinning == "on"
    if hint is not None:
        properties["PERFORMANCE_HINT"] = str(hint).upper()
    if (siblings := case.get(HYPER_THREADING.name)) is not None:
        properties["ENABLE_HYPER_THREADING"] = siblings == "on"
    return properties


def _is_static(case: Case) -> bool:
    return case.get(SHAPES.name) == "static"


def _is_dynamic(compiled: Any) -> bool:
    return any(port.get_partial_shape().is_dynamic for port in compiled.inputs)


def _shaped(model: Any, shape: tuple[int, ...] | None) -> Any:
    """The model with inputs of this shape, [batch_size, length]; None: of any shape."""
    if shape is not None:
        model.reshape({port.get_any_name(): list(shape) for port in model.inputs})
    return model


def _on_off(value: Any) -> str:
    return "on" if value else "off"


def _facts_of_products(graph: Any, fact: str) -> Iterator[str]:
    """One runtime fact of each matrix product."""
    for node in graph.get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in _PRODUCTS:
            yield facts[fact].astype(str)
