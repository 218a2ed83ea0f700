"""ONNX Runtime: the exported graph, optionally fused, optionally with int8 matrix products."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import Batch, LoadRequest, Outputs, installed, refuse
from honed.case import Case
from honed.errors import ModelError, UnsupportedError
from honed.knob import Availability, Knob, Value
from honed.machine.facts import package_versions

HELP = "ONNX Runtime: exported once, fused where its transformer patterns apply, cached"
EXTRA = "onnxruntime"
REFERENCE = "torch"
PRECISIONS = ("fp32", "int8")

FUSION = Knob(
    name="onnxruntime.fusion",
    help="its transformer fusions (attention, GELU, layer norms) on the exported graph",
    values=("on", "off"),
)
GRAPH = Knob(
    name="onnxruntime.graph_level",
    help="how far the session itself rewrites the graph",
    values=("off", "basic", "extended", "layout", "all"),
)
KNOBS = (FUSION, GRAPH)

_GRAPH_FILE = "model.onnx"
_FACTS_FILE = "facts.json"
_OPSET = 18
# The session's names for the levels, in its GraphOptimizationLevel.
_LEVELS = {
    "off": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
# model_type of a checkpoint -> model_type of the optimizer, whose patterns these are. Others are
# exported and run as they are.
_FUSED_TYPES = {
    "bert": "bert",
    "roberta": "bert",
    "xlm-roberta": "bert",
    "distilbert": "bert",
    "electra": "bert",
}


def available() -> Availability:
    modules = {"onnxruntime": "onnxruntime", "onnx": "onnx", "torch": "torch"}
    return installed(modules, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("onnxruntime", "onnx", "torch", "transformers"))


def check(case: Case) -> None:
    refuse(case, "onnxruntime", PRECISIONS)
    if case.device != "cpu":
        raise UnsupportedError("this ONNX Runtime build runs on CPUs", "device=cpu")


def start() -> None:
    import onnxruntime  # noqa: F401


def artifact(request: LoadRequest) -> Mapping[str, Any]:
    checkpoint = request.checkpoint
    return {
        "format": 1,
        "checkpoint": checkpoint.key,
        "task": checkpoint.task,
        "pooling": checkpoint.pooling,
        "precision": request.case.precision,
        "fusion": _fusion(request),
        **versions(),
    }


def _fusion(request: LoadRequest) -> str:
    """Unset follows the engine's own advice: its int8 recipe starts from the fused graph."""
    known = str(request.checkpoint.config.get("model_type")) in _FUSED_TYPES
    return str(request.case.get(FUSION.name) or ("on" if known else "off"))


def build(request: LoadRequest, folder: Path) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    work = folder / "work"
    work.mkdir()
    graph = _export(request, work)
    fused: dict[str, int] = {}
    if _fusion(request) == "on":
        graph, fused = _fuse(request, graph, work)
    if request.case.precision == "int8":
        graph = _quantise(graph, work)
    facts = _save(graph, folder) | {"fused": fused, "precision": request.case.precision}
    (folder / _FACTS_FILE).write_text(json.dumps(facts))
    shutil.rmtree(work)


def load(request: LoadRequest, artifact: Path | None) -> OnnxStep:
    assert artifact is not None, "this engine always exports"
    return OnnxStep(request, artifact)


class OnnxStep:
    """A session. Feeds are dicts of arrays, outputs a list of arrays."""

    def __init__(self, request: LoadRequest, artifact: Path) -> None:
        import onnxruntime as ort

        facts = json.loads((artifact / _FACTS_FILE).read_text())
        self.weights_bytes = int(facts["weights_bytes"])
        self._facts = facts
        self._level = request.case.get(GRAPH.name)
        self._options = ort.SessionOptions()
        self._options.log_severity_level = 3
        if request.threads is not None:
            # A size given by hand also stops the session from pinning its threads itself.
            self._options.intra_op_num_threads = request.threads
            self._options.inter_op_num_threads = 1
        if self._level is not None:
            level = getattr(ort.GraphOptimizationLevel, _LEVELS[str(self._level)])
            self._options.graph_optimization_level = level
        self.session = ort.InferenceSession(
            str(artifact / _GRAPH_FILE), self._options, providers=["CPUExecutionProvider"]
        )
        self.input_names = [i.name for i in self.session.get_inputs()]
        self.output_names = [o.name for o in self.session.get_outputs()]

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
        options = self.session.get_session_options()
        level = options.graph_optimization_level.name
        named = {v: k for k, v in _LEVELS.items()}
        return {
            "threads": options.intra_op_num_threads or None,
            "inter_op_threads": options.inter_op_num_threads or None,
            "precision": self._facts["precision"] if self._proves_precision() else None,
            "device": "cpu",
            FUSION.name: "on" if self._facts["fused"] else "off",
            GRAPH.name: named.get(level, level),
            "fused": ", ".join(f"{v} {k}" for k, v in self._facts["fused"].items()) or None,
        }

    def _proves_precision(self) -> bool:
        """An int8 graph has integer matrix products, an fp32 one has none."""
        return bool((self._facts["precision"] == "int8") == (self._facts["int8_products"] > 0))

    def close(self) -> None:
        del self.session


def _export(request: LoadRequest, work: Path) -> Path:
    """The checkpoint as ONNX with free batch and length.

    The tracing exporter with attention in separate operators gives the graph whose patterns the
    fusions know; the newer one is the way for models it cannot trace.
    """
    import torch

    from honed.models.heads import input_names, output_names, wrap
    from honed.models.torch_module import load_module

    checkpoint = request.checkpoint
    module = wrap(
        load_module(checkpoint, attention="eager"), checkpoint.task, checkpoint.pooling
    ).eval()
    names, outs = list(input_names(checkpoint)), list(output_names(*_head(request)))
    example = tuple(_example(n) for n in names)
    path = work / "exported.onnx"
    axes = {n: {0: "batch", 1: "length"} for n in [*names, *outs]}
    with torch.no_grad(), _quiet():
        try:
            torch.onnx.export(
                module, example, str(path), dynamo=False, opset_version=_OPSET,
                input_names=names, output_names=outs,
                dynamic_axes={n: (a if n not in _FLAT else {0: "batch"}) for n, a in axes.items()},
            )  # fmt: skip
        except Exception:  # noqa: BLE001 - any failure of the first exporter means: try the other
            batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
            torch.onnx.export(
                module, example, str(path), dynamo=True, opset_version=_OPSET,
                input_names=names, output_names=outs,
                dynamic_shapes=(tuple({0: batch, 1: length} for _ in names),),
            )  # fmt: skip
    return path


# Outputs without a length axis; logits have one only for per-token tasks, and naming a fixed axis
# "length" would be wrong, so they are left to shape inference.
_FLAT = {"embedding", "logits"}


def _head(request: LoadRequest) -> tuple[str, str]:
    return request.checkpoint.task, request.checkpoint.pooling


def _example(name: str) -> Any:
    """[2, 16] ids that every vocabulary has; the mask has a padded tail so that it is traced."""
    import torch

    if name == "input_ids":
        return torch.arange(32).reshape(2, 16) % 8 + 4
    if name == "attention_mask":
        mask = torch.ones(2, 16, dtype=torch.int64)
        mask[1, 12:] = 0
        return mask
    return torch.zeros(2, 16, dtype=torch.int64)


def _fuse(request: LoadRequest, graph: Path, work: Path) -> tuple[Path, dict[str, int]]:
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    config = request.checkpoint.config
    kind = _FUSED_TYPES.get(str(config.get("model_type")))
    if kind is None:
        raise UnsupportedError(
            f"the fusions know no {config.get('model_type')}", "onnxruntime.fusion=off"
        )
    heads = int(config.get("num_attention_heads") or config.get("n_heads") or 0)
    hidden = int(config.get("hidden_size") or config.get("dim") or 0)
    model = optimizer.optimize_model(
        str(graph), model_type=kind, num_heads=heads, hidden_size=hidden, opt_level=0,
        optimization_options=FusionOptions(kind),
    )  # fmt: skip
    fused = {k: int(v) for k, v in model.get_fused_operator_statistics().items() if v}
    path = work / "fused.onnx"
    model.save_model_to_file(str(path), use_external_data_format=True)
    return path, fused


def _quantise(graph: Path, work: Path) -> Path:
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = work / "int8.onnx"
    # Products with constant weights only: attention's own stay fp32, as in the published recipes.
    # The fused operators are not standard ones, so their type cannot be inferred: it is named.
    quantize_dynamic(
        str(graph), str(path), per_channel=True, weight_type=QuantType.QInt8,
        use_external_data_format=True,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
    )  # fmt: skip
    return path


_INT8_OPERATORS = {"MatMulInteger", "QAttention", "DynamicQuantizeMatMul", "QLinearMatMul"}


def _save(graph: Path, folder: Path) -> dict[str, int]:
    """Write the final graph with its weights beside it, and count what is in it."""
    import onnx

    model = onnx.load(str(graph))
    sizes = [onnx.numpy_helper.to_array(t).nbytes for t in model.graph.initializer]
    products = sum(node.op_type in _INT8_OPERATORS for node in model.graph.node)
    onnx.save(
        model, str(folder / _GRAPH_FILE), save_as_external_data=True, all_tensors_to_one_file=True,
        location="weights.bin", size_threshold=1024,
    )  # fmt: skip
    if not sizes:
        raise ModelError("the exported graph holds no weights", "report this model as a bug")
    return {"weights_bytes": sum(sizes), "int8_products": products}


@contextlib.contextmanager
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
