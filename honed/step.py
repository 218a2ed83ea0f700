"""StepKind: what a workload asks a backend to load. Phased: what a call with phases returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class StepKind(StrEnum):
    """What one call of a Step computes."""

    FORWARD = "forward"  # one inference pass of a model
    TRAINING = "training"  # forward, backward and optimizer of a model
    KERNEL = "kernel"  # one operator alone: there is no model and no checkpoint

    @property
    def needs_checkpoint(self) -> bool:
        return self is not StepKind.KERNEL


# The phases of a training step, in their order. A call may end after any of them.
FORWARD, BACKWARD, OPTIMIZER = PHASES = ("forward", "backward", "optimizer")


@dataclass(frozen=True, slots=True)
class Phased:
    """What one call of a training step or a kernel returns.

    `phases_ns`: how long each phase took, from one synchronised boundary to the next; a phase
    that runs several times (gradient accumulation) is summed. `loss` is None for a kernel.
    """

    phases_ns: Mapping[str, int]
    loss: float | None = None


class RefusedError(Exception):
    """A call that a server refused because it is overloaded. Open-loop traffic counts these."""
