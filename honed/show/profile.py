"""The profile of a record: a table of operators, modules and phases, and what it adds up to."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.errors import UsageError, nearest
from honed.plain import from_plain
from honed.profile import KINDS, ProfileRow, by_kind, merged
from honed.record import Record
from honed.run.passes.profile import Part
from honed.show.columns import settings_column
from honed.show.numbers import NONE, plain

KEYS = ("op", "module", "phase")
ROW_HEADINGS = ("self ms", "share", "calls", "GFLOP", "GFLOP/s", "of bound", "input MiB")


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
    return Group(table, *(Text(note, "dim", justify="left") for note in notes))


def _table(rows: Sequence[ProfileRow], keys: Sequence[str], bound: float | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for key in keys:
        table.add_column(key, overflow="fold")
    for heading in ROW_HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        names = [str(getattr(row, key)) or NONE for key in keys]
        table.add_row(*names, *row_cells(row, bound))
    return table


def row_cells(row: ProfileRow, bound: float | None) -> tuple[str, ...]:
    """The cells of ROW_HEADINGS. `bound` is what the cores reach in a matrix product, FLOP/s."""
    rate = row.flops_per_s
    return (
        plain(row.self_s * 1e3), f"{row.share:.1%}", f"{row.calls:,}",
        plain(row.flops and row.flops / 1e9), plain(rate and rate / 1e9),
        f"{rate / bound:.0%}" if rate and bound else NONE,
        plain(row.bytes / 2**20) if row.bytes else NONE,
    )  # fmt: skip


def _kinds(rows: Sequence[ProfileRow]) -> str:
    """Which share of the time goes to matrix products, to softmax, and to other kinds."""
    ordered = sorted(by_kind(rows).items(), key=lambda pair: -pair[1].share)
    return ", ".join(f"{kind} {row.share:.1%}" for kind, row in ordered)


def kinds_view(records: Sequence[Record]) -> RenderableType | None:
    """The kinds of operators of several records side by side, as engines name them differently;
    None for fewer than two profiles."""
    profiled = [(r, part) for r in records if (part := profile_of(r)) is not None]
    if len(profiled) < 2:
        return None
    settings = settings_column([record for record, _ in profiled])
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("kind", no_wrap=True)
    for record, _ in profiled:
        table.add_column(settings.read(record), justify="right", overflow="fold")
    for kind, *cells in zip(KIND_HEADINGS[1:], *(kind_cells(part) for _, part in profiled),
                            strict=True):  # fmt: skip
        if any(cell != NONE for cell in cells):
            table.add_row(kind, *cells)
    return Group(Text(), Text("kinds of operators, ms and share of a call", "bold"), table)


KIND_HEADINGS = ("settings", *KINDS, "together ms")


def kind_cells(part: Part) -> tuple[str, ...]:
    """The cells of KIND_HEADINGS behind the first."""
    kinds = by_kind(part.rows)
    cells = (
        f"{plain(kinds[k].self_s * 1e3)} {kinds[k].share:.0%}" if k in kinds else NONE
        for k in KINDS
    )
    return (*cells, plain(part.profiled_s * 1e3, 4))
