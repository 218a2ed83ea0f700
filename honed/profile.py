"""Profile: where the time of one call goes, by operator, module and phase, for every engine.

An engine's profiler gives OperatorEvents; `rows_of` adds them up into the table that records keep.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Operators that change types of numbers, whose names hold those of products: DequantizeLinear,
# Convert. They are of no kind.
_CASTS = ("quantizelinear", "convert")
# Kinds of operators by parts of their names, in the words of every engine; the first that fits
# counts.
_KINDS = {
    "softmax": ("softmax",),
    "matrix products": ("mm", "matmul", "gemm", "linear", "fullyconnected", "mha", "attention",
                        "einsum", "conv"),
    "normalisation": ("norm", "mvn"),  # OpenVINO: mean-variance normalisation
    "optimizer": ("adam", "sgd", "foreach", "lerp", "addcmul", "addcdiv"),
    "between operators": ("between operators",),
}  # fmt: skip
OTHER = "other"
KINDS = ("matrix products", "softmax", "normalisation", "optimizer", OTHER, "between operators")

# What is left of a range after all operators in it: Python, and the engine's own bookkeeping.
BETWEEN = "(between operators)"


@dataclass(frozen=True, slots=True)
class OperatorEvent:
    """One operator that ran in one call.

    `self_s` leaves out the operators that it called in turn. `module` is a dotted path, empty
    where none is known. `flops` is None for operators that are no matrix product, and `bytes` are
    those of its input tensors, None where the engine does not tell their shapes. `depth` counts
    the operators around it.
    """

    op: str
    module: str
    phase: str
    began_s: float
    total_s: float
    self_s: float
    depth: int = 0
    flops: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """All events of one operator in like modules and one phase.

    `module` has `*` in the place of layer numbers. `share` is of the call's time.
    """

    op: str
    module: str
    phase: str
    calls: int
    self_s: float
    share: float
    flops: int | None = None
    bytes: int | None = None

    @property
    def flops_per_s(self) -> float | None:
        return self.flops / self.self_s if self.flops and self.self_s else None


def kind_of(op: str, phase: str) -> str:
    """One of KINDS. A fused attention is a matrix product, though it computes a softmax too.
    Square roots, the norms of gradients and the like are the optimizer's where they run in the
    phase of that name."""
    if phase == "optimizer" and op != BETWEEN:
        return phase
    name = op.lower()
    if any(part in name for part in _CASTS):
        return OTHER
    return next((k for k, parts in _KINDS.items() if any(p in name for p in parts)), OTHER)


def by_kind(rows: Iterable[ProfileRow]) -> dict[str, ProfileRow]:
    """The rows added up by the kind of their operator, in the order of KINDS; without kinds that
    do not occur."""
    groups: dict[str, list[ProfileRow]] = defaultdict(list)
    for row in rows:
        groups[kind_of(row.op, row.phase)].append(row)
    return {kind: _added(groups[kind], op=kind) for kind in KINDS if kind in groups}


def like(module: str) -> str:
    """`layers.3.mlp` -> `layers.*.mlp`: the name that equal layers share."""
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", module)


def rows_of(events: Iterable[OperatorEvent], call_s: float) -> tuple[ProfileRow, ...]:
    """The events added up by operator, like modules and phase; the longest first."""
    groups: dict[tuple[str, str, str], list[OperatorEvent]] = defaultdict(list)
    for event in events:
        groups[event.op, like(event.module), event.phase].append(event)
    rows = [
        ProfileRow(
            *key, len(group), (self_s := sum(e.self_s for e in group)), self_s / call_s,
            _sum(e.flops for e in group), _sum(e.bytes for e in group),
        )
        for key, group in groups.items()
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: -row.self_s))


def merged(rows: Sequence[ProfileRow], *keys: str) -> tuple[ProfileRow, ...]:
    """The rows added up by some of `op`, `module` and `phase`; the others are left empty."""
    groups: dict[tuple[str, ...], list[ProfileRow]] = defaultdict(list)
    for row in rows:
        groups[tuple(str(getattr(row, key)) for key in keys)].append(row)
    added = [_added(group, **dict(zip(keys, key, strict=True))) for key, group in groups.items()]
    return tuple(sorted(added, key=lambda row: -row.self_s))


def _added(
    rows: Sequence[ProfileRow], op: str = "", module: str = "", phase: str = ""
) -> ProfileRow:
    return ProfileRow(
        op, module, phase, calls=sum(r.calls for r in rows), self_s=sum(r.self_s for r in rows),
        share=sum(r.share for r in rows), flops=_sum(r.flops for r in rows),
        bytes=_sum(r.bytes for r in rows),
    )  # fmt: skip


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
