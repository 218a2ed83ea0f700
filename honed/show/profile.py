"""The profile of a record: a table of operators, modules and phases, and what it adds up to."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.errors import UsageError, nearest
from honed.plain import from_plain
from honed.profile import ProfileRow, merged
from honed.record import Record
from honed.run.passes.profile import Part
from honed.show.numbers import NONE, plain

KEYS = ("op", "module", "phase")
# Kinds of operators by parts of their names; the first kind that fits counts.
_KINDS = {
    "matrix products": ("mm", "matmul", "gemm", "linear", "fullyconnected", "mha", "attention",
                        "einsum", "conv"),
    "softmax": ("softmax",),
    "normalisation": ("norm",),
    "optimizer": ("adam", "sgd", "foreach", "lerp", "addcmul", "addcdiv"),
    "between operators": ("between operators",),
}  # fmt: skip


def check_keys(keys: Sequence[str]) -> tuple[str, ...]:
    for key in keys:
        if key not in KEYS:
            raise UsageError(f"a profile has no {key!r}", nearest(key, KEYS))
    return tuple(keys)


def profile_of(record: Record) -> Part | None:
    data = (record.passes or {}).get("profile")
    return None if data is None else from_plain(Part, data)


def profile_view(record: Record, keys: Sequence[str], top: int) -> RenderableType | None:
    """The `top` lines by self time, the kinds of operators, and the profiler's overhead; None for
    a record without a profile."""
    part = profile_of(record)
    if part is None:
        return None
    bound = record.metrics.bound_flops_per_s if record.metrics else None
    rows = merged(part.rows, *keys)
    table = _table(rows[:top], keys, bound)
    rest = sum(row.share for row in rows[top:])
    notes = [f"{len(rows) - top} more lines: {rest:.1%} of the time (--top)"] if rest else []
    notes += [
        _kinds(part.rows),
        f"one call under the profiler took {plain(part.profiled_s * 1e3, 4)} ms, "
        f"{part.overhead:+.0%} beside {plain(part.plain_s * 1e3, 4)} ms without it",
    ]
    heading = Text(record.to_case().label(), "bold")
    return Group(heading, table, *(Text(note, "dim", justify="left") for note in notes))


def _table(rows: Sequence[ProfileRow], keys: Sequence[str], bound: float | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for key in keys:
        table.add_column(key, overflow="fold")
    for heading in ("self ms", "share", "calls", "GFLOP", "GFLOP/s", "of bound", "input MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        names = [str(getattr(row, key)) or NONE for key in keys]
        table.add_row(*names, *_cells(row, bound))
    return table


def _cells(row: ProfileRow, bound: float | None) -> tuple[str, ...]:
    rate = row.flops_per_s
    return (
        plain(row.self_s * 1e3), f"{row.share:.1%}", f"{row.calls:,}",
        plain(row.flops and row.flops / 1e9), plain(rate and rate / 1e9),
        f"{rate / bound:.0%}" if rate and bound else NONE,
        plain(row.bytes / 2**20) if row.bytes else NONE,
    )  # fmt: skip


def _kinds(rows: Sequence[ProfileRow]) -> str:
    """Which share of the time goes to matrix products, to softmax, and to other kinds."""
    shares: dict[str, float] = {}
    for row in rows:
        name = row.op.lower()
        kind = next((k for k, parts in _KINDS.items() if any(p in name for p in parts)), "other")
        if "softmax" in name:
            kind = "softmax"
        shares[kind] = shares.get(kind, 0.0) + row.share
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{kind} {share:.1%}" for kind, share in ordered)
