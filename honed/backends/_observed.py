"""What a Step may tell about a call beside its outputs. Every method has a default, so that a step
defines only what its engine can observe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from honed.mixed_precision import MixedPrecision
from honed.profile import OperatorEvent
from honed.timeline import Timeline


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """Arrays that a step computed, by name, and the same arrays by plain fp32 arithmetic."""

    outputs: Mapping[str, Any]
    reference: Mapping[str, Any]
    against: str


@dataclass(frozen=True, slots=True)
class LeastTime:
    """Seconds that no call can be faster than, and the traffic that takes this long."""

    seconds: float
    traffic: str


@dataclass(frozen=True, slots=True)
class Residual:
    """Tensors of one shape and type that autograd keeps for the backward pass.

    `module` made them, with `*` in the place of layer numbers; `count` is over all layers.
    """

    module: str
    shape: tuple[int, ...]
    dtype: str
    count: int
    size_bytes: int  # of one


@dataclass(frozen=True, slots=True)
class MeasuredMemory:
    """The timeline of one call, and what its forward pass keeps for the backward pass.

    `stream_bytes` is one tensor of the residual stream: what a block hands to the next one.
    `kept_bytes` are all activations after the forward pass, and `block_kept_bytes` those of one
    block, by the value of `checkpointing`. Without a backward pass these three are empty.
    `snapshot` is the history of a GPU's allocator, pickled as torch does; empty without a GPU.
    """

    timeline: Timeline
    stream_bytes: int | None = None
    stream_shape: tuple[int, ...] = ()
    stream_dtype: str = ""
    residuals: tuple[Residual, ...] = ()
    kept_bytes: Mapping[str, int] = field(default_factory=dict)
    block_kept_bytes: Mapping[str, int] = field(default_factory=dict)
    snapshot: bytes = b""


class Observed(Protocol):
    """The observations of one call. Passes of `honed run` ask for them."""

    def after_phase_bytes(self, feed: Any) -> Mapping[str, int]:  # noqa: ARG002
        """The bytes of all tensors that are alive at the end of each phase of one call; empty for
        calls without phases, and where the engine cannot tell."""
        return {}

    def self_check(self) -> SelfCheck | None:
        """What a call computes beside plain fp32 arithmetic, for steps whose outputs are not
        compared with those of a reference backend. None where there is nothing to compare."""
        return None

    def least_call_s(self, feed: Any) -> LeastTime | None:  # noqa: ARG002
        """The time that the memory traffic of a call alone takes on this device, measured now;
        None where nothing bounds it."""
        return None

    def memory_timeline(self, feed: Any) -> MeasuredMemory | None:  # noqa: ARG002
        """Which tensors are alive when, in one call; None where the engine cannot tell."""
        return None

    def mixed_precision(self) -> MixedPrecision | None:
        """Each module's output under autocast beside fp32; None without autocast."""
        return None

    def profile(self, feed: Any) -> Sequence[OperatorEvent]:  # noqa: ARG002
        """The operators of one call, by the engine's own profiler; empty if it has none."""
        return ()
