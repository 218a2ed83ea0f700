"""ONNX Runtime: the exported graph, fused and rounded as the Case asks, run by a session.

The steps are export -> fuse -> one of int8_dynamic, int8_static, int4 -> graph (settle, read,
save) -> session. Each step is a file, and a knob is declared in the file that applies it.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import (
    Delivery,
    LoadRequest,
    Traits,
    about_model,
    installed,
    refuse,
    refuse_gpu,
)
from honed.backends.onnxruntime import (
    export,
    fuse,
    graph,
    int4,
    int8_dynamic,
    int8_static,
    rounding,
    session,
)
from honed.backends.onnxruntime.footprint import footprint as footprint
from honed.case import Case
from honed.errors import UnsupportedError
from honed.files import copy_files
from honed.knob import Availability, Knob
from honed.machine.facts import package_versions

HELP = "ONNX Runtime: exported once, fused where its transformer patterns apply, cached"
EXTRA = "onnxruntime"
REFERENCE = "torch"
PRECISIONS = ("fp32", "int8", "int4")
TRAITS = Traits(
    expert_rank=1,  # int8 kernels near the hardware's peak, and a quick export
    memory_words=("failed to allocate memory",),
    calibrated=("int8",),
    neighbour_free="onnxruntime.int8=static",
)
KNOBS = (
    *fuse.KNOBS, rounding.INT8, *rounding.KNOBS, *int8_static.KNOBS, *int4.KNOBS, *session.KNOBS,
)  # fmt: skip

_WAYS = {"dynamic": int8_dynamic, "static": int8_static, "int4": int4}
_SNIPPET = f"""import onnxruntime

session = onnxruntime.InferenceSession("model/{graph.GRAPH_FILE}")
outputs = session.run(None, batch)"""
# The knobs of each way of rounding.
_KNOBS_OF: Mapping[str, tuple[Knob, ...]] = {
    "dynamic": rounding.KNOBS,
    "static": (*rounding.KNOBS, *int8_static.KNOBS),
    "int4": int4.KNOBS,
}


def available() -> Availability:
    modules = {"onnxruntime": "onnxruntime", "onnx": "onnx", "torch": "torch"}
    return installed(modules, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("onnxruntime", "onnx", "torch", "transformers"))


def check(case: Case) -> None:
    if case.precision in ("fp16", "bf16"):
        # On a CPU it casts fp16 products to fp32 and back, and it has no bf16 product.
        raise UnsupportedError(
            f"ONNX Runtime has no {case.precision} products on CPUs like this",
            "precision=int8, or backend=torch or openvino for bf16",
        )
    refuse(case, "onnxruntime", PRECISIONS)
    refuse_gpu(case, "ONNX Runtime")
    fuse.check(case)
    int8_static.check(case)
    _check_rounding(case)


def _check_rounding(case: Case) -> None:
    """Raise UnsupportedError for a knob of a way of rounding that the Case does not use."""
    if case.get(rounding.INT8.name) is not None and case.precision != "int8":
        what = f"{rounding.INT8.name} has no meaning in {case.precision}"
        raise UnsupportedError(what, "precision=int8")
    way = _way(case)
    usable = _KNOBS_OF[way] if way else ()
    for knob in {knob.name: knob for knobs in _KNOBS_OF.values() for knob in knobs}.values():
        if case.get(knob.name) is not None and knob not in usable:
            is_int8 = case.precision == "int8"
            used = f"{rounding.INT8.name}={way}" if is_int8 else f"precision={case.precision}"
            raise UnsupportedError(f"{knob.name} has no meaning with {used}", _hint_for(knob))


def _way(case: Case) -> str | None:
    """How the Case rounds: a key of `_WAYS`; None in fp32."""
    if case.precision == "int8":
        return str(case.get(rounding.INT8.name) or "dynamic")
    return "int4" if case.precision == "int4" else None


def _hint_for(knob: Knob) -> str:
    if knob in int4.KNOBS:
        return "precision=int4"
    only = f" {rounding.INT8.name}=static" if knob in int8_static.KNOBS else ""
    return f"precision=int8{only}"


def start() -> None:
    import onnxruntime  # noqa: F401


def artifact(request: LoadRequest) -> Mapping[str, Any]:
    precision = {"precision": request.case.precision}
    return {**about_model(request, 3), **precision, **_recipe(request), **versions()}


def _recipe(request: LoadRequest) -> dict[str, Any]:
    """Every choice that decides the graph, with the defaults filled in."""
    way = _way(request.case)
    recipe: dict[str, Any] = {"way": way, **fuse.about(request, rounded=way is not None)}
    if way in ("dynamic", "static"):
        recipe |= rounding.about(request)
    if way == "static":
        recipe |= int8_static.about(request)
    if way == "int4":
        recipe |= int4.about(request)
    return recipe


def build(request: LoadRequest, folder: Path) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    work = folder / "work"
    work.mkdir()
    path = export.write(request, work)
    recipe, fused = _recipe(request), dict[str, int]()
    if recipe["fusion"] == "on":
        path, fused = fuse.write(request, recipe, path, work)
    if recipe["way"] is not None:
        path = _WAYS[recipe["way"]].write(request, path, work)
        path = graph.settle(path, work, fuse.disabled(recipe))
    if recipe["way"] == "static":
        path = int8_static.join_biases(path)
    graph.save(path, folder, {"fused": fused, "disabled": fuse.disabled(recipe)})
    shutil.rmtree(work)


def load(request: LoadRequest, artifact: Path | None) -> session.OnnxStep:
    assert artifact is not None, "this engine always exports"
    return session.OnnxStep(request, artifact)


def deliver(request: LoadRequest, artifact: Path | None, folder: Path) -> Delivery:
    assert artifact is not None, "this engine always exports"
    files = (path.name for path in artifact.iterdir() if path.name.startswith(graph.GRAPH_FILE))
    copy_files(artifact, folder, graph.WEIGHTS_FILE, graph.FACTS_FILE, *files)
    facts = json.loads((artifact / graph.FACTS_FILE).read_text())
    settings = {**session.settings(request), "disabled_optimizers": facts["disabled"]}
    packages = ("onnxruntime", "numpy")
    return Delivery(Path(__file__).with_name("delivered.py"), settings, packages, _SNIPPET)
