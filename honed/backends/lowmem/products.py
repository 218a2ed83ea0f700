"""Matrix products with mapped weights, in the type of the weights: fp32, bf16 or int8."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from honed.backends.lowmem.budget import INT8_COLUMNS, INT8_ROWS
from honed.backends.lowmem.convert import SCALES
from honed.backends.lowmem.layout import Linear
from honed.backends.lowmem.tensors import WeightTensors

_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
_LARGEST = 127  # int8 without -128, so that ranges are symmetric
_LEAST = 1e-9  # a row of zeros still needs a scale


@dataclass(frozen=True, slots=True)
class Quantised:
    """States as int8 codes [rows, width], and the scale of each row [rows, 1]."""

    codes: Any
    scales: Any


class Products:
    """y = x W^T + b by parts. `counts` has how many products ran in each precision."""

    def __init__(self, weights: WeightTensors) -> None:
        self.weights = weights
        self.counts: Counter[str] = Counter()

    def ready(self, states: Any, linear: Linear) -> Any:
        """The states as a product with this layer takes them. Layers that take the same states,
        and parts of a layer, share the result."""
        return _quantised(states) if self.is_int8(linear.weight) else states

    def linear(
        self, states: Any, linear: Linear, into: Any, columns: tuple[int, int] | None = None
    ) -> None:
        """The outputs `columns` of a linear layer, or all of them, into [rows, outputs].

        `states` are a tensor [rows, inputs], or what `ready` made of it.
        """
        begin, end = columns or (0, into.shape[1])
        bias = self.weights.vector(linear.bias)
        part = None if bias is None else bias[begin:end]
        if self.is_int8(linear.weight):
            codes = self.weights.in_map(linear.weight)[begin:end]
            scales = self.weights.vector(linear.weight + SCALES)[begin:end]
            self._int8(states, codes, scales, part, into)
            return
        weight = self.weights.part(linear.weight, begin, end)
        self.counts[_NAMES[weight.dtype]] += 1
        if part is None:
            torch.mm(states, weight.t(), out=into)
        else:
            torch.addmm(part, states, weight.t(), out=into)

    def add_inner(self, states: Any, linear: Linear, begin: int, end: int, into: Any) -> None:
        """into += x W[:, begin:end]^T, where x holds only these inputs of the layer."""
        if self.is_int8(linear.weight):
            codes = self.weights.in_map(linear.weight)[:, begin:end]
            self._int8(states, codes, self.weights.vector(linear.weight + SCALES), into, into)
            return
        weight = self.weights.columns(linear.weight, begin, end)
        self.counts[_NAMES[weight.dtype]] += 1
        torch.addmm(into, states, weight.t(), out=into)

    def is_int8(self, name: str) -> bool:
        return name + SCALES in self.weights.mapped.stored

    def _int8(self, states: Any, codes: Any, scales: Any, added: Any, into: Any) -> None:
        """into = added + x W^T, where `added` is a vector [outputs], `into` itself, or None."""
        x = states if isinstance(states, Quantised) else _quantised(states)
        self.counts["int8"] += 1
        for begin in range(0, len(codes), INT8_COLUMNS):
            columns = slice(begin, begin + INT8_COLUMNS)
            part, target = added, into[:, columns]
            if added is into:
                part = target
            elif added is not None:
                part = added[columns]
            # The sums have no name here, so they are freed before the next ones are made.
            _dequantise(
                torch._int_mm(x.codes, codes[columns].t()), x.scales, scales[columns], part, target
            )


def _dequantise(sums: Any, of_rows: Any, of_columns: Any, added: Any, into: Any) -> None:
    """into = added + sums of codes [rows, columns] times both scales; `added` may be `into`."""
    for first in range(0, len(sums), INT8_ROWS):  # they stay in the cache of a core
        rows = slice(first, first + INT8_ROWS)
        products, target = sums[rows].to(into.dtype).mul_(of_rows[rows]), into[rows]
        if added is None:
            torch.mul(products, of_columns, out=target)
        else:
            torch.addcmul(target if added is into else added, products, of_columns, out=target)


def _quantised(states: Any) -> Quantised:
    """Each row gets a scale of its own."""
    codes = torch.empty(states.shape, dtype=torch.int8)
    scales = torch.empty(len(states), 1, dtype=states.dtype)
    for first in range(0, len(states), INT8_ROWS):
        rows = slice(first, first + INT8_ROWS)
        part, scale = states[rows], scales[rows]
        torch.amax(part.abs(), 1, keepdim=True, out=scale)
        scale.clamp_(min=_LEAST).div_(_LARGEST)
        codes[rows] = (part / scale).round_()
    return Quantised(codes, scales)
