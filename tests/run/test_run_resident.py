"""`passes=resident`: the memory of a process over one call."""

from __future__ import annotations

from honed.case import Case
from honed.plain import from_plain
from honed.run.parent import measure
from honed.run.passes.resident import Part

MIB = 2**20


def test_what_a_call_allocates_is_seen_in_its_course() -> None:
    case = Case(
        model="tiny", backend="fake", passes="resident", duration_s=0.1, warmup_s=0.1,
        instances=1, knobs={"fake.allocate_kib": 64 * 1024, "fake.latency_us": 100_000},
    )  # fmt: skip
    record = measure(case)
    assert record.status == "ok", record.error
    assert record.passes is not None
    part = from_plain(Part, record.passes["resident"])
    assert part.times_s[0] < part.times_s[-1]
    assert len(part.times_s) == len(part.anon_bytes) == len(part.file_bytes) >= 3
    assert max(part.anon_bytes) - part.anon_bytes[-1] > 60 * MIB
