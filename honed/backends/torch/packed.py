"""Packing: the knob, and which models can be packed."""

from __future__ import annotations

from typing import Any

from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Knob
from honed.models.checkpoint import Checkpoint

PACKED = Knob("torch.packed",
              "compute the real tokens of a batch only, attention one sequence at a time",
              ("on", "off"))  # fmt: skip


def asked(case: Case) -> bool:
    return case.get(PACKED.name) == "on"


def check(case: Case) -> None:
    if not asked(case):
        return
    if case.get("torch.mode") not in (None, "eager"):
        raise UnsupportedError(
            "every packed batch has its own shape, so packing is not compiled or traced",
            "torch.mode=eager, or torch.buckets=32 for few shapes",
        )
    if case.get("torch.attention") == "eager":
        raise UnsupportedError("packing needs fused attention", "torch.attention=sdpa")
    if case.get("torch.buckets") is not None:
        what = "packing removes the padding that buckets add"
        raise UnsupportedError(what, "unset torch.buckets")


def register() -> str:
    """Register the packed attention with transformers; returns its name for `load_module`."""
    from honed.backends.torch.packing import NAME, attention
    from honed.models.torch.module import import_transformers

    import_transformers().AttentionInterface.register(NAME, attention)
    return NAME


def pack(module: Any, checkpoint: Checkpoint) -> Any:
    """The loaded transformers module with its body packed."""
    from honed.backends.torch.packing import Packed

    if not getattr(module, "_supports_attention_backend", False):
        raise UnsupportedError(
            f"{checkpoint.model_type}'s attention cannot be replaced, so it cannot be packed",
            "unset torch.packed",
        )
    body = module.base_model
    rows = checkpoint.config.get("max_position_embeddings")
    first = rows - checkpoint.max_positions if rows and checkpoint.max_positions else 0
    packed = Packed(body, first)
    if body is module:
        return packed
    setattr(module, module.base_model_prefix, packed)
    return module


def is_packed(module: Any) -> bool:
    return any(type(part).__name__ == "Packed" for part in module.modules())
