"""The processes of one side of the proof together, in the units that people read."""

from __future__ import annotations

from honed.measures import MEASURES, UNITS
from honed.record import Record
from honed.study import Pooled, Setting
from honed.tune.confirm.work import Confirmation


def pooled(
    work: Confirmation, setting: Setting, against: Setting, whole: Record | None
) -> Pooled | None:
    """The processes of a setting of the path, in the blocks that it shares with `against`. Their
    memory is measured in a pass that only the `whole` record has."""
    processes = work.blocks.pooled(work.path_side(setting), work.path_side(against))
    if processes is None:
        return None
    p99_s = processes.latency_p99_s
    peak_bytes = whole.memory.rss_peak_bytes if whole is not None and whole.memory else None
    return Pooled(
        value=processes.value * UNITS[MEASURES[work.metric].unit].factor,
        latency_p50_ms=processes.latency_p50_s * 1e3,
        latency_p99_ms=None if p99_s is None else p99_s * 1e3,
        memory_mib=None if peak_bytes is None else peak_bytes / 2**20,
        cosine_min=processes.cosine_min,
        records=processes.records,
    )
