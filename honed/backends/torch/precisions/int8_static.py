"""int8 with ranges of activations from calibration, by torchao: exported and quantised once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest, installed
from honed.backends.torch import exporting, modules
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Availability
from honed.machine.facts import package_versions

MODES = ("compile", "aoti")  # what is quantised is a graph: only Inductor has kernels for it
DEVICES = ("cpu",)

_PROGRAM = "quantised.pt2"
_ATTENTION = "attention.txt"  # what the module named, which a graph no longer tells


def available() -> Availability:
    return installed({"torchao": "torchao"}, "torchao")


def check(case: Case) -> None:
    if case.get("torch.freezing") == "off":
        raise UnsupportedError(
            "int8 kernels take their weights as frozen constants", "unset torch.freezing"
        )


def artifact(request: LoadRequest) -> Mapping[str, Any]:
    return {
        "quantised": "static",
        "attention": request.case.get("torch.attention"),
        "calibration": request.calibration_key,
        **package_versions(("torchao",)),
    }


def build(request: LoadRequest, folder: Path) -> None:
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    from honed.models.calibration import random_calibration

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    plain = modules.wrapped(request)
    graph = exporting.exported(plain, request).module()
    # A pooler whose output nobody reads would stop the quantiser.
    graph.graph.eliminate_dead_code()
    graph.recompile()
    batches = request.calibration or random_calibration(request.checkpoint).batches
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watched = prepare_pt2e(graph, quantizer)
        for batch in batches:
            watched(*(torch.from_numpy(array) for array in batch.values()))
        quantised = convert_pt2e(watched)
    _drop_unused(quantised)
    (folder / _ATTENTION).write_text(modules.facts(plain)["torch.attention"] or "")
    torch.export.save(exporting.exported(quantised, request), folder / _PROGRAM)


def _drop_unused(graph: Any) -> None:
    """Without the fp32 weights that the int8 ones took the place of."""
    used = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
    named = [
        *graph.named_parameters(remove_duplicate=False),
        *graph.named_buffers(remove_duplicate=False),
    ]
    for name, _ in named:
        if name not in used:
            owner, _, last = name.rpartition(".")
            delattr(graph.get_submodule(owner), last)


def module(_: LoadRequest, folder: Path | None) -> Any:
    import torch
    import torchao.quantization.pt2e  # noqa: F401 - the program's operators

    assert folder is not None, "this precision always builds"
    loaded = torch.export.load(folder / _PROGRAM).module()
    loaded.attention = (folder / _ATTENTION).read_text() or None
    loaded.quantised_tensors = list(loaded.buffers())
    return loaded
