"""The implementations of attention in torch: naive, fused, flex, compiled, or a user's function.

Queries, keys and values are [batch, heads, length, width of a head], and so is the output.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from honed.backends.torch import phases
from honed.errors import UnsupportedError, UsageError

# Kernels of fused attention that can be asked for, and their names in SDPBackend.
NAMED = {
    "sdpa_flash": "FLASH_ATTENTION", "sdpa_efficient": "EFFICIENT_ATTENTION",
    "sdpa_cudnn": "CUDNN_ATTENTION", "sdpa_math": "MATH",
}  # fmt: skip
# Operators by which the profiler shows which kernel ran.
_OPERATORS = {
    "aten::_scaled_dot_product_flash_attention_for_cpu": "sdpa_flash",
    "aten::_scaled_dot_product_flash_attention": "sdpa_flash",
    "aten::_scaled_dot_product_efficient_attention": "sdpa_efficient",
    "aten::_scaled_dot_product_cudnn_attention": "sdpa_cudnn",
    "aten::_scaled_dot_product_attention_math": "sdpa_math",
}
# What torch says where no kernel can compute a call.
_NO_KERNEL = ("No available kernel", "No viable backend")
Attention = Callable[[Any, Any, Any], Any]


def implementation(name: str, device: str, *, causal: bool) -> Attention:
    """The implementation that `attention=name` asks for."""
    if ":" in name:
        return _of_user(name)
    if name == "naive":
        return naive(causal=causal, around=partial(phases.nvtx, device))
    if name == "flex":
        return _flex(causal=causal)
    if name == "compile":
        import torch

        return torch.compile(naive(causal=causal), dynamic=False)  # type: ignore[no-any-return]
    return _fused(name, causal=causal)


def naive(*, causal: bool, around: phases.Around = phases.alone) -> Attention:
    """Every score in memory: softmax(Q K^T / sqrt(width)) V. `around` makes a context around each
    of its three parts."""
    import torch

    def attend(query: Any, key: Any, value: Any) -> Any:
        with around("scores"):
            scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
            if causal:
                pairs, device = scores.shape[-2:], scores.device
                later = torch.ones(pairs, dtype=torch.bool, device=device).triu(1)
                scores = scores.masked_fill(later, -math.inf)
        with around("softmax"):
            weights = torch.softmax(scores, dim=-1)
        with around("values"):
            return weights @ value

    return attend


def _fused(name: str, *, causal: bool) -> Attention:
    """torch's fused attention; a named kernel, or the one that torch chooses."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

    def choose() -> contextlib.AbstractContextManager[Any]:
        if name not in NAMED:
            return contextlib.nullcontext()
        return sdpa_kernel(getattr(SDPBackend, NAMED[name]))  # type: ignore[no-any-return]

    def attend(query: Any, key: Any, value: Any) -> Any:
        try:
            with choose():
                return scaled_dot_product_attention(query, key, value, is_causal=causal)
        except RuntimeError as error:
            if not any(words in str(error) for words in _NO_KERNEL):
                raise
            raise UnsupportedError(
                f"torch has no {name} kernel for this device, precision and shape",
                "attention=sdpa lets torch choose",
            ) from error

    return attend


def _flex(*, causal: bool) -> Attention:
    import torch
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    compiled = torch.compile(flex_attention, dynamic=False)

    def is_earlier(_: Any, __: Any, query: Any, key: Any) -> Any:
        return query >= key

    masks: dict[int, Any] = {}

    def attend(query: Any, key: Any, value: Any) -> Any:
        length = query.shape[-2]
        if causal and length not in masks:
            masks[length] = create_block_mask(
                is_earlier, None, None, length, length, device=query.device
            )
        return compiled(query, key, value, block_mask=masks.get(length))

    return attend


def _of_user(name: str) -> Attention:
    """`module:callable` from the folder where honed was started."""
    module_name, _, attribute = name.partition(":")
    with _importing_from(Path.cwd()):
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise UsageError(
                f"attention={name}: {error}",
                "start honed in the folder of the module, and install what it imports",
            ) from error
        except Exception as error:  # the user's code may raise anything
            raise UsageError(
                f"attention={name}: importing {module_name} raised {_told(error)}",
                f"python -c 'import {module_name}' shows where",
            ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UsageError(
            f"{module_name} has no function {attribute}", "write attention=module:function"
        )
    return function  # type: ignore[no-any-return]


def try_out(name: str, function: Attention, query: Any, key: Any, value: Any) -> None:
    """UsageError unless a user's function turns a small problem into a tensor like the queries."""
    import torch

    try:
        output = function(query, key, value)
    except Exception as error:  # the user's code may raise anything
        raise UsageError(
            f"attention={name} raised {_told(error)}",
            "it is called with queries, keys and values of [batch, heads, length, width]",
        ) from error
    if not isinstance(output, torch.Tensor) or output.shape != query.shape:
        got = list(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise UsageError(
            f"attention={name} returned {got} for queries of {list(query.shape)}",
            "return one tensor of [batch, heads, length, width]",
        )


def _told(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def kernels_of(call: Callable[[], Any]) -> list[str]:
    """The fused kernels that run in a call, the most frequent first."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        call()
    names = [e.name() for e in profiled.profiler.kineto_results.events()]
    return [k for k, _ in Counter(_OPERATORS[n] for n in names if n in _OPERATORS).most_common()]
