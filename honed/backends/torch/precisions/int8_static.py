"""int8 by torchao, with ranges of activations from calibration: exported and quantised once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest, installed
from honed.backends.torch import exporting, modules
from honed.backends.torch.precisions.base import Precision
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Availability
from honed.machine.facts import package_versions

_PROGRAM = "quantised.pt2"
_ATTENTION = "attention.txt"  # the implementation that ran, which a graph no longer names


def available() -> Availability:
    return installed({"torchao": "torchao"}, "torchao")


def _check(case: Case) -> None:
    if case.get("torch.freezing") == "off":
        raise UnsupportedError(
            "int8 kernels take their weights as frozen constants", "unset torch.freezing"
        )


def _artifact(request: LoadRequest) -> Mapping[str, Any]:
    return {"quantised": "static", "attention": request.case.get("torch.attention"),
            "calibration": request.calibration_key, **package_versions(("torchao",))}  # fmt: skip


def _build(request: LoadRequest, folder: Path) -> None:
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    plain = modules.wrapped(request)
    graph = exporting.exported(plain, request).module()
    # The quantiser fails on a pooler whose output is unused.
    graph.graph.eliminate_dead_code()
    graph.recompile()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watched = prepare_pt2e(graph, quantizer)
        for batch in request.calibration_batches:
            watched(*(torch.from_numpy(array) for array in batch.values()))
        quantised = convert_pt2e(watched)
    _drop_unused(quantised)
    (folder / _ATTENTION).write_text(modules.facts(plain)["torch.attention"] or "")
    torch.export.save(exporting.exported(quantised, request), folder / _PROGRAM)


def _drop_unused(graph: Any) -> None:
    """Remove the fp32 weights that int8 ones have replaced."""
    used = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
    for tensors in (graph.named_parameters, graph.named_buffers):
        for name in [n for n, _ in tensors(remove_duplicate=False) if n not in used]:
            owner, _, last = name.rpartition(".")
            delattr(graph.get_submodule(owner), last)


def _module(_: LoadRequest, folder: Path | None) -> Any:
    import torch
    import torchao.quantization.pt2e  # noqa: F401 - the program's operators

    assert folder is not None, "this precision always builds"
    loaded = torch.export.load(folder / _PROGRAM).module()
    loaded.attention = (folder / _ATTENTION).read_text() or None
    loaded.quantised_tensors = list(loaded.buffers())
    return loaded


# The quantised model is a graph, and only Inductor has kernels for it.
PRECISION = Precision(_module, ("compile", "aoti"), ("cpu",), _check, _artifact, _build)
