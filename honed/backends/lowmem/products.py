"""Matrix products with mapped weights, in the type of the weights: fp32, bf16 or int8."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from honed.backends.lowmem.budget import INT8_ROWS
from honed.backends.lowmem.convert import SCALES
from honed.backends.lowmem.layout import Linear
from honed.backends.lowmem.tensors import WeightTensors

_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
_LARGEST = 127  # int8 without -128, so that ranges are symmetric
_LEAST = 1e-9  # a row of zeros still needs a scale


class Products:
    """y = x W^T + b by parts. `counts` has how many products ran in each precision."""

    def __init__(self, weights: WeightTensors) -> None:
        self.weights = weights
        self.counts: Counter[str] = Counter()

    def linear(
        self, states: Any, linear: Linear, into: Any, columns: tuple[int, int] | None = None
    ) -> None:
        """The outputs `columns` of a linear layer, or all of them, into [rows, outputs]."""
        begin, end = columns or (0, into.shape[1])
        bias = self.weights.vector(linear.bias)
        if self.is_int8(linear.weight):
            into.zero_() if bias is None else into.copy_(bias[begin:end].expand_as(into))
            codes = self.weights.in_map(linear.weight)[begin:end]
            scales = self.weights.vector(linear.weight + SCALES)[begin:end]
            self._add_int8(states, codes, scales, into)
            return
        weight = self.weights.part(linear.weight, begin, end)
        self.counts[_NAMES[weight.dtype]] += 1
        if bias is None:
            torch.mm(states, weight.t(), out=into)
        else:
            torch.addmm(bias[begin:end], states, weight.t(), out=into)

    def add_inner(self, states: Any, linear: Linear, begin: int, end: int, into: Any) -> None:
        """into += x W[:, begin:end]^T, where x holds only these inputs of the layer."""
        if self.is_int8(linear.weight):
            codes = self.weights.in_map(linear.weight)[:, begin:end]
            self._add_int8(states, codes, self.weights.vector(linear.weight + SCALES), into)
            return
        weight = self.weights.columns(linear.weight, begin, end)
        self.counts[_NAMES[weight.dtype]] += 1
        torch.addmm(into, states, weight.t(), out=into)

    def is_int8(self, name: str) -> bool:
        return name + SCALES in self.weights.mapped.stored

    def _add_int8(self, states: Any, codes: Any, scales: Any, into: Any) -> None:
        """Each row of the states gets a scale of its own, each output of W has one."""
        for first in range(0, len(states), INT8_ROWS):
            rows = slice(first, first + INT8_ROWS)
            part = states[rows]
            ranges = part.abs().amax(1, keepdim=True).clamp_(min=_LEAST).div_(_LARGEST)
            quantised = (part / ranges).round_().to(torch.int8)
            self.counts["int8"] += 1
            products = torch._int_mm(quantised, codes.t()).to(into.dtype)
            into[rows].add_(products.mul_(ranges).mul_(scales))
