"""StepKind: what a workload asks a backend to load."""

from __future__ import annotations

from enum import StrEnum


class StepKind(StrEnum):
    """What one call of a Step computes."""

    FORWARD = "forward"  # one inference pass of a model
    TRAINING = "training"  # forward, backward and optimizer of a model
    KERNEL = "kernel"  # one operator alone: there is no model and no checkpoint

    @property
    def needs_checkpoint(self) -> bool:
        return self is not StepKind.KERNEL


class RefusedError(Exception):
    """A call that a server refused because it is overloaded. Open-loop traffic counts these."""
