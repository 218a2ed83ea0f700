"""The checkpoint as a module that takes tensors in order and returns a tuple of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import packed


def wrapped(request: LoadRequest) -> Any:
    """The module in fp32 with the task's head; packed if the Case asks for it."""
    from honed.models.torch.head import Head
    from honed.models.torch.module import load_module

    checkpoint = request.checkpoint
    attention_knob = request.case.get("torch.attention")
    attention = str(attention_knob) if attention_knob else None
    if packed.asked(request.case):
        attention = packed.register()
    module = load_module(checkpoint, attention=attention)
    if packed.asked(request.case):
        module = packed.pack(module, checkpoint)
    return Head.of(module, checkpoint).eval()


def facts(module: Any) -> Mapping[str, Any]:
    """The bytes of the module's weights, and the knobs that can be read from the module."""
    import torch

    from honed.backends.torch.casting import Autocast

    integers = _integers(module)
    dtypes = {p.dtype for p in module.parameters()}
    parameters = sum(int(p.nbytes) for p in module.parameters())  # tied ones come once
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

    from honed.backends.torch.per_row_linear import PerRowLinear

    kinds = {torch.ao.nn.quantized.dynamic.Linear: "dynamic", PerRowLinear: "per_row"}
    for part in module.modules():
        for kind, name in kinds.items():
            if isinstance(part, kind):
                return name
    return "static" if hasattr(module, "quantised_tensors") else None


def _attention_of(module: Any) -> str | None:
    """The attention that the module's configuration names; "sdpa" if the module is packed, because
    packing calls the fused attention for each sequence."""
    for part in module.modules():
        name = getattr(getattr(part, "config", None), "_attn_implementation", None)
        if name is not None:
            return "sdpa" if packed.is_packed(module) else str(name)
    return getattr(module, "attention", None)


def _integers(module: Any) -> list[Any]:
    """The tensors of quantised layers, which are not parameters."""
    import torch

    tensors: list[Any] = []
    for part in module.modules():
        tensors += getattr(part, "quantised_tensors", ())
        if isinstance(part, torch.ao.nn.quantized.dynamic.Linear):
            tensors += [t for t in (part.weight(), part.bias()) if t is not None]
    return tensors
