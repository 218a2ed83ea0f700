"""A recorded history of torch's allocator beside its replay on the simulator."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.plan.snapshot import Replayed
from honed.show.plan import size


def snapshot_table(found: Replayed) -> RenderableType:
    """Recorded and simulated bytes, and their difference."""
    table = Table("", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("recorded", "simulated", "difference"):
        table.add_column(heading, justify="right")
    rows = {
        "reserved, at the peak": found.reserved_peak,
        "reserved, at the end": found.reserved_end,
        "allocated, at the end": found.allocated_end,
    }
    for name, sizes in rows.items():
        table.add_row(
            name, size(sizes.recorded_bytes), size(sizes.simulated_bytes), f"{sizes.error:+.2%}"
        )
    title = Text.assemble((f"GPU {found.device}", "bold"), f"  {found.allocations:,} allocations")
    note = f"{size(found.requested_peak_bytes)} were asked for at once, at most"
    return Group(title, table, Text(note, "dim"))
