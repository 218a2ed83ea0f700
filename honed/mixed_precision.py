"""What mixed precision does to a model: the type and the error of each module's output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModuleOutput:
    """The output of a module under autocast, beside the same output in fp32.

    Types are torch's names. `inputs` is the type of its first floating-point input, and `weights`
    that of its own parameters; empty without any. `relative_diff` is the norm of the difference
    over the norm of the fp32 output. Of equal layers, the one with the largest error is kept.
    """

    module: str
    kind: str
    inputs: str
    weights: str
    output: str
    max_abs_diff: float
    relative_diff: float

    @property
    def why(self) -> str:
        """Why the output has its type, as far as the types of inputs and weights tell."""
        if self.inputs == "":
            return "it looks rows up in its weights" if self.weights == self.output else ""
        if self.inputs == self.output:
            return "it keeps the type of its inputs"
        if self.output == "float32":
            return "it computes in fp32, or its fp32 weights make the result fp32"
        return "autocast casts its matrix products"


@dataclass(frozen=True, slots=True)
class MixedPrecision:
    """`gradient_relative_diff` is of all gradients together. `accumulation` holds the sums of a
    thousand times 0.01, by the types of the sum and of the addend; exact arithmetic gives 10."""

    autocast: str
    modules: tuple[ModuleOutput, ...]
    parameters: str
    loss: str
    loss_relative_diff: float
    gradients: str | None
    gradient_relative_diff: float | None
    accumulation: Mapping[str, float]
