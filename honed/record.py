"""Record: what came out of one Case. Immutable; JSON both ways; scripts rely on its keys."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from honed.case import Case
from honed.notebook import Notebook
from honed.plain import from_plain, to_plain

Status = Literal[
    "ok", "unproven", "diverged", "oom", "crashed", "timeout", "unsupported", "interrupted"
]
STATUSES: tuple[str, ...] = typing.get_args(Status)


@dataclass(frozen=True, slots=True)
class Error:
    """Why there is no result, and what to type next."""

    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval; None where the samples cannot support one."""

    value: float | None
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds per call over every sample inside the common window. `ci95` belongs to p50."""

    mean: float
    stdev: float | None
    min: float
    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    max: float
    ci95: tuple[float, float] | None
    p90_ci95: tuple[float, float] | None = None
    p99_ci95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Derived from the samples. Throughput counts sequences; tokens count padding too.

    A metric that does not apply to the workload is None.

    `slowest_p50_s` is the median of the slowest instance: when a batch is split over instances,
    it is ready when the last one is. `phases` are the parts of a call that have times of their
    own (forward, backward, optimizer). Open-loop traffic counts the requests that it refused,
    those that were answered in time (goodput), and how late they were sent. Where batches differ,
    `latency_tail_s` is the median time of calls with the one that is larger than 99 in 100: a few
    calls tell it, where a 99th percentile takes a hundred.
    """

    latency_s: Latency
    throughput_per_s: Interval
    tokens_per_s: float | None
    useful_tokens_per_s: float | None
    flops_per_s: float | None
    bound_flops_per_s: float | None
    import_s: float
    load_s: float
    first_call_s: float
    build_s: float
    warmup_s: float
    samples: int
    window_s: float
    slowest_p50_s: float | None = None
    bytes_per_s: float | None = None
    phases: Mapping[str, Latency] | None = None
    goodput_per_s: float | None = None
    refused: int | None = None
    lateness_s: Latency | None = None
    latency_tail_s: float | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw, all of them inside the common window, one list per instance.

    `completed_s` counts from the window's start. `outside` is how many calls of each instance
    fell outside it (a sibling had not begun, or had ended).
    """

    latency_s: tuple[tuple[float, ...], ...]
    completed_s: tuple[tuple[float, ...], ...]
    outside: tuple[int, ...] = ()
    window_began_s: float | None = None  # Unix time, to lay other monitors' readings beside it


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `rss_*` are the largest instance's; `pss_total_bytes` sums all instances.

    `baseline_bytes` is resident before the model is loaded; `tensor_peak_bytes` is weights plus
    inputs plus the most tensors alive during a call, as the engine's own allocator saw it.
    `after_phase_bytes` are the tensors alive at the end of each phase of a call: those after
    "forward" are what the backward pass begins with. `load_anon_peak_bytes` is the private part of
    the peak while the model was loaded.
    """

    weights_bytes: int | None = None
    baseline_bytes: int | None = None
    tensor_peak_bytes: int | None = None
    rss_anon_peak_bytes: int | None = None
    rss_file_peak_bytes: int | None = None
    rss_peak_bytes: int | None = None
    pss_total_bytes: int | None = None
    load_peak_bytes: int | None = None
    allocated_peak_bytes: int | None = None
    reserved_peak_bytes: int | None = None
    by_kind: Mapping[str, int] | None = None
    after_phase_bytes: Mapping[str, int] | None = None
    load_anon_peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The outputs beside the fp32 eager reference's on the same inputs.

    `tolerance` is the least cosine allowed for the precision; `relative_diff` is `max_abs_diff`
    over the reference's largest value. Both differences are None where outputs are not finite.
    `neighbour_cosine_min` is the least cosine between two outputs of this engine for the same
    text beside other texts in its batch; None where a text is a batch of its own.
    """

    reference: str
    max_abs_diff: float | None
    cosine_min: float
    top1_agreement: float | None
    tolerance: float
    relative_diff: float | None = None
    neighbour_cosine_min: float | None = None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The setting beside fp32 eager on the same examples, in the metric that was asked for.

    `drop` is `reference` - `value`, absolute: 0.01 of an accuracy is one example in a hundred.
    `drop_ci95` is of the paired difference; `allowed` is max_accuracy_drop. `source` is the
    labelled file, or what was fed where nothing is known: the metric is then the agreement with
    fp32 itself (reference 1). Null where outputs are not finite.
    """

    metric: str
    reference: float
    value: float | None
    drop: float | None
    drop_ci95: tuple[float, float] | None
    allowed: float | None
    examples: int
    source: str


@dataclass(frozen=True, slots=True)
class InputFacts:
    """What was fed: `length_histogram` maps a length (tokens, unpadded) to its count."""

    source: str
    sequences: int
    length_histogram: Mapping[str, int]
    padding_share: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """What makes this record less trustworthy (load, steal, frequency, spread, too few)."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Record(Notebook):
    """Asked, effective, samples, memory, fidelity, machine, status.

    `passes` holds, by name, what passes recorded that fill no field of their own.
    """

    id: str
    created: str
    honed: str
    status: Status
    case: Mapping[str, Any]
    error: Error | None = None
    effective: tuple[Mapping[str, Any], ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    inputs: InputFacts | None = None
    samples: Samples | None = None
    metrics: Metrics | None = None
    memory: Memory | None = None
    fidelity: Fidelity | None = None
    accuracy: Accuracy | None = None
    doubts: tuple[Doubt, ...] = ()
    elapsed_s: float | None = None
    passes: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def is_lacking(self) -> bool:
        """Whether the engine, as it is installed, does not have this combination of settings."""
        return self.error is not None and self.error.kind == "UnsupportedError"

    def to_case(self) -> Case:
        """The Case that was asked for, to run again."""
        return Case.from_json(self.case)

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        return from_plain(cls, data)
