"""Linear layers in int8 with a range for each row of activations. Imports torch, so it is imported
late."""

from __future__ import annotations

from typing import Any

import torch

_LARGEST = 127  # int8 without -128, so that ranges are symmetric
_LEAST = 1e-9  # a row of zeros still needs a scale


class PerRowLinear(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """y = x W + b. Each row of x (one token) and each output channel of W has a scale of its own,
    so the result for a token does not depend on the other tokens of the call."""

    def __init__(self, linear: Any) -> None:
        super().__init__()
        weight = linear.weight.detach().float()  # [outputs, inputs]
        scales = _scales(weight)
        codes = (weight / scales).round().to(torch.int8)
        self.outputs, self.inputs = weight.shape
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales.flatten())
        self.bias = linear.bias

    @property
    def quantised_tensors(self) -> tuple[Any, ...]:
        return (self.codes, self.scales)

    def forward(self, x: Any) -> Any:
        rows = x.reshape(-1, self.inputs)
        scales = _scales(rows)  # [rows, 1]
        codes = (rows / scales).round().to(torch.int8)
        # The transposed view is the layout that the kernel is fast for.
        y = torch._int_mm(codes, self.codes.t()).to(x.dtype) * scales * self.scales
        y = y.reshape(*x.shape[:-1], self.outputs)
        return y if self.bias is None else y + self.bias


def quantise(module: Any) -> Any:
    """Replace every linear layer of `module`."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is torch.nn.Linear:
                setattr(parent, name, PerRowLinear(child))
    return module


def _scales(rows: Any) -> Any:
    return rows.abs().amax(dim=1, keepdim=True).clamp(min=_LEAST) / _LARGEST
