"""Linear layers with 4-bit weights on torch's CPU kernel. Imports torch, so it is imported late.

torchao's tensor class for this kernel is still a prototype, so it is not used.
"""

from __future__ import annotations

from typing import Any

import torch

_GROUP = 32  # weights that share a scale and a zero: the smallest group that the kernel takes
_LEVELS = 15  # steps between the 16 values of 4 bits
_ROWS = 16  # the kernel takes weights in blocks of this many outputs


class Int4Linear(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """y = x W + b, W of 4-bit numbers q: (q - 8) * scale + zero, by groups along the inputs."""

    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.outputs, self.inputs = linear.weight.shape
        codes, scales = _coded(linear.weight.detach())
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
        self.register_buffer("packed", packed)
        self.register_buffer("scales", scales)  # [groups, outputs, 2]
        self.bias = linear.bias

    @property
    def quantised_tensors(self) -> tuple[Any, ...]:
        return (self.packed, self.scales)

    def forward(self, x: Any) -> Any:
        flat = x.reshape(-1, self.inputs).contiguous()
        y = torch.ops.aten._weight_int4pack_mm_for_cpu(flat, self.packed, _GROUP, self.scales)
        y = y.reshape(*x.shape[:-1], self.outputs)
        return y if self.bias is None else y + self.bias


def quantise(module: Any) -> Any:
    """Replace every linear layer of `module` whose shape the kernel takes."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            fits = type(child) is torch.nn.Linear and not (
                child.in_features % _GROUP or child.out_features % _ROWS
            )
            if fits:
                setattr(parent, name, Int4Linear(child))
    return module


def _coded(weight: Any) -> tuple[Any, Any]:
    """The 4-bit numbers [outputs, inputs] as int32, and scale and zero [groups, outputs, 2]."""
    groups = weight.float().unflatten(1, (-1, _GROUP))  # [outputs, groups, 32]
    low, high = groups.amin(2, keepdim=True), groups.amax(2, keepdim=True)
    scale = ((high - low) / _LEVELS).clamp(min=1e-9)
    codes = ((groups - low) / scale).round().clamp(0, _LEVELS).flatten(1).to(torch.int32)
    zero = low + 8 * scale  # the kernel subtracts 8 from each number
    scales = torch.cat([scale, zero], dim=2).transpose(0, 1).contiguous()
    return codes, scales
