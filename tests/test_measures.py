"""Limits as people type them, held against what a record knows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from records import failed_record, make_record

from honed.errors import UsageError
from honed.measures import NAMES, limit


def test_a_limit_reads_the_record_in_the_unit_of_its_name() -> None:
    record = make_record()
    assert record.metrics is not None
    assert record.memory is not None
    p90_s = record.metrics.latency_s.p90
    assert p90_s is not None
    assert limit("latency_p90_ms<=50").value(record) == pytest.approx(p90_s * 1e3)
    assert limit("latency_p90_s < 1").value(record) == p90_s
    assert limit("rss_peak_mib<=1").value(record) == record.memory.rss_peak_bytes / 2**20
    assert limit("throughput_per_s>=1").value(record) == record.metrics.throughput_per_s.value
    assert limit("cosine_min>0.9").value(record) == pytest.approx(0.9999998)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("load_s<=1.31", True),
        ("load_s<1.31", False),
        ("load_s>=1.31", True),
        ("load_s>1.31", False),
        ("load_s<=1e2", True),
    ],
)
def test_every_sign(text: str, met: bool) -> None:
    assert limit(text).met(make_record()) is met


def test_what_is_not_known_meets_no_limit() -> None:
    few = make_record(calls=12)
    assert few.metrics is not None
    assert few.metrics.latency_s.p99 is None
    assert not limit("latency_p99_ms<=1e9").met(few)
    assert not limit("latency_p50_ms>0").met(failed_record("oom", "x"))
    assert not limit("rss_peak_mib>0").met(replace(make_record(), memory=None))


def test_every_name_can_be_read_of_any_record() -> None:
    for record in (make_record(), failed_record("oom", "x")):
        for name in NAMES:
            value = limit(f"{name}<=1").value(record)
            assert value is None or isinstance(value, float)


def test_it_is_written_as_it_was_typed() -> None:
    assert str(limit(" latency_p99_ms  <=  50.0 ")) == "latency_p99_ms<=50"


@pytest.mark.parametrize("text", ["", "latency_p99_ms", "latency_p99_ms=50", "<=5", "load_s<=-1"])
def test_what_is_no_limit_teaches(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        limit(text)
    assert "latency_p99_ms<=50" in caught.value.hint


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        limit("latency_p99<=50")
    assert "latency_p99_ms" in caught.value.hint
