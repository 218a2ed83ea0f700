"""The checkpoint as a module that takes tensors in order and returns a tuple of them."""

from __future__ import annotations

from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import packed


def wrapped(request: LoadRequest) -> Any:
    """In fp32, behind its head; packed if that is asked for."""
    from honed.models.torch.head import wrap
    from honed.models.torch.module import load_module

    checkpoint = request.checkpoint
    asked = request.case.get("torch.attention")
    attention = str(asked) if asked else None
    if packed.asked(request.case):
        attention = packed.register()
    module = load_module(checkpoint, attention=attention)
    if packed.asked(request.case):
        module = packed.pack(module, checkpoint)
    return wrap(module, checkpoint.task, checkpoint.pooling).eval()


def facts(module: Any) -> dict[str, Any]:
    """What the module says of itself: its bytes, and the knobs that it was made by."""
    import torch

    from honed.backends.torch.casting import Autocast

    integers = _integers(module)
    dtypes = {p.dtype for p in module.parameters()}
    parameters = sum(int(p.nbytes) for p in module.parameters())  # tied ones are yielded once
    cast = "weights" if dtypes == {torch.bfloat16} else None
    if isinstance(module, Autocast):
        cast = "autocast"
    return {
        "weights_bytes": parameters + sum(int(t.numel() * t.element_size()) for t in integers),
        "torch.attention": _attention_of(module),
        "torch.packed": "on" if packed.is_packed(module) else "off",
        "torch.bf16": cast,
        "torch.int8": _int8_of(module),
    }


def _int8_of(module: Any) -> str | None:
    import torch

    kind = torch.ao.nn.quantized.dynamic.Linear
    if any(isinstance(part, kind) for part in module.modules()):
        return "dynamic"
    return "static" if hasattr(module, "quantised_tensors") else None


def _attention_of(module: Any) -> str | None:
    """What the module names; packing calls the fused one for each sequence."""
    for part in module.modules():
        found = getattr(getattr(part, "config", None), "_attn_implementation", None)
        if found is not None:
            return "sdpa" if packed.is_packed(module) else str(found)
    return getattr(module, "attention", None)


def _integers(module: Any) -> list[Any]:
    """The tensors of quantised layers, which are no parameters."""
    import torch

    found: list[Any] = []
    for part in module.modules():
        found += getattr(part, "quantised_tensors", ())
        if isinstance(part, torch.ao.nn.quantized.dynamic.Linear):
            found += [t for t in (part.weight(), part.bias()) if t is not None]
    return found
