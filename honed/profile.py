"""Profile: where the time of one call goes, by operator, module and phase, for every engine.

An engine's profiler gives OperatorEvents; `rows_of` adds them up into the table that records keep.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    added = [
        ProfileRow(
            **{"op": "", "module": "", "phase": "", **dict(zip(keys, key, strict=True))},
            calls=sum(r.calls for r in group), self_s=sum(r.self_s for r in group),
            share=sum(r.share for r in group), flops=_sum(r.flops for r in group),
            bytes=_sum(r.bytes for r in group),
        )
        for key, group in groups.items()
    ]  # fmt: skip
    return tuple(sorted(added, key=lambda row: -row.self_s))


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
