"""Settings: what one plan is about, as data without any framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["infer", "forward_grad", "train"]
Attention = Literal["auto", "eager", "sdpa", "flash"]
Checkpointing = Literal["off", "blocks", "nested"]
Loop = Literal["foreach", "fused", "for_loop"]
Operators = Literal["today", "2019"]
Weights = Literal["resident", "lazy", "keep_embedding", "chunked_embedding"]

# Two steps are traced, because the optimizer's state exists from the beginning of the second on.
TRAINING_STEPS = 2


@dataclass(frozen=True, slots=True)
class Optimizer:
    """`loop` is how torch updates many tensors: in one call (foreach), in one kernel (fused), or
    one after the other. With `holds_gradients` they are zeroed in place and not released.
    `accumulation` is the number of batches between two updates."""

    name: Literal["sgd", "adamw"] = "adamw"
    loop: Loop = "foreach"
    holds_gradients: bool = False
    accumulation: int = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """One cell of a plan: everything that decides which tensors live when.

    `dtype` is the type of the weights, `autocast` that of the products under autocast; both are
    torch's names. `device` decides which kernels torch chooses. `operators` "2019" replaces
    attention and GELU by those of BERT's code of 2019. With `keeps_cache` a decoder keeps keys and
    values for tokens to come. `weights` is how long weights stay
    loaded.
    """

    mode: Mode = "infer"
    batch_size: int = 1
    sequence_length: int = 128
    dtype: str = "float32"
    autocast: str | None = None
    attention: Attention = "auto"
    device: Literal["cpu", "cuda"] = "cuda"
    checkpointing: Checkpointing = "off"
    keeps_cache: bool = False
    optimizer: Optimizer = Optimizer()
    operators: Operators = "today"
    weights: Weights = "resident"

    @property
    def has_gradients(self) -> bool:
        return self.mode != "infer"
