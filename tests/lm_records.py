"""Records of language models as the suite measures them: phases, profiles, precision, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from records import failed_record, make_record

from honed.backends.base import Residual
from honed.mixed_precision import MixedPrecision, ModuleOutput
from honed.plain import to_plain
from honed.profile import ProfileRow
from honed.record import Doubt, Latency, Memory, Record
from honed.run.passes import memory_timeline, precision, profile, traffic
from honed.timeline import Block, MemoryKind, Peak, Span, StepPhase, Timeline

MIB = 2**20
PHASES = {"forward": 0.1, "backward": 0.2, "optimizer": 0.04}
ROWS = (
    ProfileRow("aten::mm", "model.layers.*.mlp", "forward", 12, 0.06, 0.3, 6 * 10**9, MIB),
    ProfileRow("aten::mm", "model.layers.*.mlp", "backward", 24, 0.08, 0.4, 12 * 10**9, MIB),
    ProfileRow("aten::_softmax", "model.layers.*.attn", "forward", 4, 0.03, 0.15),
    ProfileRow("aten::_fused_adamw_", "", "optimizer", 1, 0.02, 0.1),
    ProfileRow("(between operators)", "", "forward", 3, 0.01, 0.05),
)
TIMELINE = Timeline(
    (
        Block(100 * MIB, MemoryKind.WEIGHTS, 0),
        Block(50 * MIB, MemoryKind.ACTIVATIONS, 1, 3, "aten.mm", "<layer>", StepPhase.FORWARD),
        Block(30 * MIB, MemoryKind.GRADIENTS, 2, None, "aten.mm", "", StepPhase.BACKWARD),
    ),
    4,
    (Span(StepPhase.FORWARD, 1, 2), Span(StepPhase.BACKWARD, 2, 4)),
)


def latency(mean_s: float, spread: float = 0.01, worst: float = 1.1) -> Latency:
    """`spread` is the standard deviation over the mean, `worst` the slowest over the median."""
    ends = (mean_s * 0.99, mean_s * 1.01)
    return Latency(mean_s, mean_s * spread, mean_s, mean_s, None, None, None, mean_s * worst, ends)


def training(
    case: Mapping[str, Any] | None = None,
    slowness: float = 1.0,
    spread: float = 0.01,
    **fields: Any,
) -> Record:
    """A training step; `fields` replace the record's."""
    asked = {"model": "lm-small", "workload": "train_step", "batch_size": 4, **(case or {})}
    record = make_record(asked, seed=round(slowness * 1000) % 991)
    assert record.metrics is not None
    until = str(asked.get("until") or "optimizer")
    names = list(PHASES)[: list(PHASES).index(until) + 1]
    phases = {name: latency(slowness * PHASES[name], spread) for name in names}
    phases["step"] = latency(slowness * sum(PHASES[name] for name in names), spread)
    memory = Memory(
        weights_bytes=100 * MIB, tensor_peak_bytes=403 * MIB,
        after_phase_bytes={"forward": 300 * MIB},
    )  # fmt: skip
    metrics = replace(record.metrics, phases=phases)
    return replace(record, metrics=metrics, memory=memory, **fields)


def attention(case: Mapping[str, Any], milliseconds: float, mib: float, **fields: Any) -> Record:
    """A cell of the attention sweep; `mib` are alive before the backward pass."""
    asked = {"model": "none", "workload": "attention", "d_model": 64, "batch_size": 8, **case}
    record = make_record(asked, seed=round(milliseconds * 97 + mib) % 991)
    assert record.metrics is not None
    phases = {
        name: latency(milliseconds * share / 1e3)
        for name, share in {"forward": 1, "backward": 2, "step": 3}.items()
    }
    memory = Memory(after_phase_bytes={"forward": round(mib * MIB)})
    found = {"traffic": traffic.Part(milliseconds / 1e3, 1e-6, "writing one output of 1 MiB")}
    return replace(
        record, metrics=replace(record.metrics, phases=phases), memory=memory,
        **{"passes": to_plain(found), **fields},
    )  # fmt: skip


def not_tried(case: Mapping[str, Any]) -> Record:
    asked = {"workload": "attention", "model": "none", "d_model": 64, "batch_size": 8, **case}
    message = "attention=naive takes 24.1 GiB at its peak, and 20.0 GiB are free: it was not tried"
    return failed_record("oom", message, "attention=sdpa", asked)


def profiled() -> dict[str, Any]:
    """A pass of a record, as `to_plain` stores it; so are the following."""
    return dict(to_plain({"profile": profile.Part(0.16, 0.2, ROWS, Path("events.json"))}))


def mixed() -> dict[str, Any]:
    modules = (
        ModuleOutput("fc1", "Linear", "float32", "float32", "bfloat16", 0.01, 0.004),
        ModuleOutput("norm", "LlamaRMSNorm", "bfloat16", "float32", "float32", 0.02, 0.005),
    )
    sums = {"float32 += float32": 10.0001, "float16 += float16": 9.9531}
    observed = MixedPrecision(
        "bfloat16", modules, "float32", "float32", 1e-4, "float32", 0.01, sums
    )
    return dict(to_plain({"precision": precision.Part(observed)}))


def watched(stored: Path) -> dict[str, Any]:
    """The memory of a step; `stored` is the file of its timeline."""
    by_kind = {"weights": 100 * MIB, "activations": 300 * MIB}
    peak = Peak(9, 400 * MIB, by_kind, "aten.mm", "lm_head", StepPhase.FORWARD)
    largest = memory_timeline.Allocation(
        "aten.mm", "model.layers.*.mlp", StepPhase.FORWARD, MemoryKind.ACTIVATIONS, 20 * MIB, 12
    )
    residual = Residual("model.layers.*.mlp", (16, 128, 768), "float16", 12, 3 * MIB)
    kept = {"off": 280 * MIB, "blocks": 40 * MIB, "nested": 20 * MIB}
    of_block = {"off": 20 * MIB, "blocks": 3 * MIB, "nested": 0}
    part = memory_timeline.Part(
        peak, {"forward": peak}, (largest,), 3 * MIB, (16, 128, 768), "float16", (residual,),
        kept, of_block, stored,
    )  # fmt: skip
    return dict(to_plain({"memory_timeline": part}))


def first_call() -> Doubt:
    return Doubt("first_call", "the first call measured is the slowest by far")
