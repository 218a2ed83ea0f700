"""The kernels that torch chooses on a GPU, for fake tensors that claim to be on the CPU.

Three of torch's choices depend on the device and change which tensors are kept:

- Dropout keeps a mask of one byte per element. On the CPU the mask has the type of the input.
- Fused attention is one of three kernels: flash for 16-bit types without a mask, memory-efficient
  for fp32 or with a mask, and separate operators where neither can run.
- Autocast keeps layer norms, softmax and losses in fp32, and caches cast weights until it ends.

Sources: aten/src/ATen/native/Dropout.cpp, .../transformers/cuda/sdp_utils.cpp, autocast_mode.h.
This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.overrides import TorchFunctionMode

_HALF = (torch.float16, torch.bfloat16)
_FLASH_HEAD_LIMIT = 256

_LOWER = {
    F.linear, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.mm,
    torch.addmm, torch.baddbmm, torch.Tensor.bmm, torch.Tensor.mm, torch.einsum,
    F.scaled_dot_product_attention, F.conv1d,
}  # fmt: skip
_FP32 = {
    F.layer_norm, F.softmax, F.log_softmax, torch.softmax, torch.log_softmax,
    torch.Tensor.softmax, torch.Tensor.log_softmax, F.cross_entropy, F.nll_loss, F.mse_loss,
    F.binary_cross_entropy_with_logits, F.group_norm, torch.pow, torch.Tensor.pow, torch.exp,
    torch.Tensor.exp, torch.rsqrt, torch.Tensor.rsqrt, torch.cumsum, torch.Tensor.cumsum,
    torch.sum, torch.Tensor.sum, torch.norm, F.softplus,
}  # fmt: skip


class CudaKernels(TorchFunctionMode):  # type: ignore[misc]  # torch is not type-checked here
    """A function mode. `autocast` is the type of autocast, or None without it."""

    def __init__(
        self, attention: str, autocast: str | None, *, caches_weights: bool = True
    ) -> None:
        super().__init__()
        self._attention = attention
        self._autocast = None if autocast is None else getattr(torch, autocast)
        self._caches_weights = caches_weights
        self._cast_weights: dict[int, Any] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._autocast is not None:
            args, kwargs = self._cast(func, args, kwargs)
        own = self._own(func)
        return own(*args, **kwargs) if own is not None else func(*args, **kwargs)

    def end_autocast(self) -> None:
        """Forget the cast weights, as leaving torch.autocast does."""
        self._cast_weights.clear()

    def _own(self, func: Any) -> Callable[..., Any] | None:
        if func in (F.dropout, torch.dropout):
            return _dropout
        if func is F.scaled_dot_product_attention:
            return self._attend
        return None

    def _cast(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if func in _LOWER:
            wanted = self._autocast
        elif func in _FP32:
            wanted = torch.float32
        else:
            return args, kwargs
        cast = [self._as(value, wanted) for value in args]
        return cast, {key: self._as(value, wanted) for key, value in kwargs.items()}

    def _as(self, value: Any, wanted: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        if value.dtype is wanted:
            return value
        is_weight = value.is_leaf and value.requires_grad and wanted is self._autocast
        if not is_weight or not self._caches_weights:
            return value.to(wanted)
        if id(value) not in self._cast_weights:
            self._cast_weights[id(value)] = value.to(wanted)
        return self._cast_weights[id(value)]

    def _attend(  # noqa: PLR0913, PLR0917 - torch's own signature
        self, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
        is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    ) -> Any:  # fmt: skip
        """Tensors are [batch, heads, length, width of a head]."""
        if enable_gqa:
            groups = query.shape[1] // key.shape[1]
            key, value = (t.repeat_interleave(groups, 1) for t in (key, value))
        flash_can = (
            query.dtype in _HALF and attn_mask is None and query.shape[-1] <= _FLASH_HEAD_LIMIT
        )
        if flash_can and query.shape[-1] % 8 == 0:
            return torch.ops.aten._scaled_dot_product_flash_attention(
                query, key, value, dropout_p, is_causal, False, scale=scale
            )[0]
        if self._attention == "flash":
            raise FlashUnavailableError(query.dtype, attn_mask is not None)
        if attn_mask is not None and attn_mask.dtype is torch.bool:
            zero = torch.zeros((), dtype=query.dtype)
            attn_mask = torch.where(attn_mask, zero, float("-inf"))
        if attn_mask is not None:
            attn_mask = attn_mask.expand(*query.shape[:3], key.shape[2])
        return torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, attn_mask, query.requires_grad, dropout_p, is_causal, scale=scale
        )[0]


class FlashUnavailableError(Exception):
    """The flash kernel cannot compute what the model asks of it."""

    def __init__(self, dtype: Any, has_mask: bool) -> None:
        super().__init__(str(dtype))
        self.dtype = str(dtype).removeprefix("torch.")
        self.has_mask = has_mask


def _dropout(input: Any, p: float = 0.5, training: bool = True, **_: bool) -> Any:
    if not training or p == 0:
        return input
    return torch.native_dropout(input, p, True)[0]
