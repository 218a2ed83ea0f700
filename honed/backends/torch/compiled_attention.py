"""Attention alone compiled: separate operators, fused by torch.compile; the model stays eager."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Knob

KNOB = Knob("torch.compiled_attention",
            "attention in separate operators, compiled; the rest of the model runs eagerly",
            ("on", "off"), workloads=("train_step",))  # fmt: skip
NAME = "honed_compiled"  # what transformers calls this attention, in config._attn_implementation


def asked(case: Case) -> bool:
    return case.get(KNOB.name) == "on"


def check(case: Case) -> None:
    """Raise UnsupportedError beside other settings that decide how attention runs."""
    if not asked(case):
        return
    if case.get("torch.mode") == "compile":
        raise UnsupportedError(
            "torch.mode=compile compiles attention together with the rest of the model",
            f"drop {KNOB.name}, or torch.mode=eager",
        )
    if case.get("torch.attention") is not None:
        raise UnsupportedError(
            f"{KNOB.name} and torch.attention both say how attention runs",
            "give only one of the two",
        )


def register() -> str:
    """Register it with transformers, with the masks of eager attention; returns the name."""
    from honed.models.torch.module import import_transformers

    transformers = import_transformers()
    from transformers.masking_utils import eager_mask

    transformers.AttentionInterface.register(NAME, attention)
    transformers.AttentionMaskInterface.register(NAME, eager_mask)
    return NAME


@contextlib.contextmanager
def left_out(module: Any) -> Iterator[None]:
    """Inside, the module computes attention in separate operators, not compiled."""
    config = module.config
    if config._attn_implementation != NAME:
        yield
        return
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = NAME


def attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
) -> tuple[Any, None]:
    """[batch, heads, length, width] of queries, keys and values; returns
    [batch, length, heads, width]."""
    shared = getattr(module, "num_key_value_groups", 1)
    if shared > 1:
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
    scaling = options.get("scaling")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    dropout = options.get("dropout", 0.0) if module.training else 0.0
    return _compiled()((query, key, value), attention_mask, scale, dropout), None


@cache
def _compiled() -> Any:
    """One function of tensors for all layers, so that equal layers share one graph."""
    import torch

    return torch.compile(_attend, dynamic=False)


def _attend(tensors: tuple[Any, Any, Any], mask: Any, scale: float, dropout: float) -> Any:
    import torch

    query, key, value = tensors
    scores = query @ key.transpose(2, 3) * scale
    if mask is not None:
        scores = scores + mask
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    if dropout:
        weights = torch.nn.functional.dropout(weights, p=dropout)
    return (weights @ value).transpose(1, 2).contiguous()
