"""Limits as people type them, held against what a record knows."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from records import failed_record, make_record

from honed.errors import UsageError
from honed.measures import LIMITS, MEASURES, parse_limit


def test_a_limit_reads_the_record_in_the_unit_of_its_name() -> None:
    record = make_record()
    assert record.metrics is not None
    assert record.memory is not None
    p90_s = record.metrics.latency_s.p90
    assert p90_s is not None
    assert parse_limit("latency_p90_ms<=50").value(record) == pytest.approx(p90_s * 1e3)
    assert parse_limit("latency_p90_s < 1").value(record) == p90_s
    assert parse_limit("rss_peak_mib<=1").value(record) == record.memory.rss_peak_bytes / 2**20
    assert (
        parse_limit("throughput_per_s>=1").value(record) == record.metrics.throughput_per_s.value
    )
    assert parse_limit("cosine_min>0.9").value(record) == pytest.approx(0.9999998)


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
    assert parse_limit(text).met(make_record()) is met


def test_what_is_not_known_meets_no_parse_limit() -> None:
    few = make_record(calls=12)
    assert few.metrics is not None
    assert few.metrics.latency_s.p99 is None
    assert not parse_limit("latency_p99_ms<=1e9").met(few)
    assert not parse_limit("latency_p50_ms>0").met(failed_record("oom", "x"))
    assert not parse_limit("rss_peak_mib>0").met(replace(make_record(), memory=None))


def test_every_name_can_be_read_of_any_record() -> None:
    for record in (make_record(), failed_record("oom", "x")):
        for name in LIMITS:
            value = parse_limit(f"{name}<=1").value(record)
            assert value is None or isinstance(value, float)


def test_it_is_written_as_it_was_typed() -> None:
    assert str(parse_limit(" latency_p99_ms  <=  50.0 ")) == "latency_p99_ms<=50"


@pytest.mark.parametrize("text", ["", "latency_p99_ms", "latency_p99_ms=50", "<=5", "load_s<=-1"])
def test_what_is_no_limit_teaches(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_limit(text)
    assert "latency_p99_ms<=50" in caught.value.hint


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        parse_limit("latency_p99<=50")
    assert "latency_p99_ms" in caught.value.hint


def test_a_percentile_of_too_few_calls_is_judged_by_the_largest_known() -> None:
    few = make_record(calls=12)
    assert few.metrics is not None
    at = few.metrics.latency_s
    assert at.p99 is None
    assert at.p95 is None
    assert at.p90 is not None
    p99, p90_ms = parse_limit("latency_p99_ms<=10"), at.p90 * 1e3
    assert p99.violation(few) == pytest.approx(p90_ms / 10 - 1)
    assert parse_limit("latency_p99_ms<=10").violation(failed_record("oom", "x")) is None


def test_cost_and_log_time_are_less_where_a_value_is_better() -> None:
    for name, better, worse in (("latency", 0.1, 0.2), ("throughput", 200.0, 100.0)):
        measure = MEASURES[name]
        assert measure.cost(better) < measure.cost(worse)
        ratio = measure.log_time(worse) - measure.log_time(better)
        assert ratio == pytest.approx(math.log(2))
    assert MEASURES["throughput"].cost(0.0) == math.inf


def test_a_price_turns_machine_hours_into_money() -> None:
    record = make_record()
    assert record.metrics is not None
    rate = record.metrics.throughput_per_s
    assert rate.value is not None
    assert rate.ci95 is not None
    found = MEASURES["cost"].priced(3.6).interval(record)
    assert found is not None
    assert found.value == pytest.approx(1000 / rate.value)
    assert found.ci95 == pytest.approx((1000 / rate.ci95[1], 1000 / rate.ci95[0]))
    assert MEASURES["cost"].priced(None).value(record) is None
    assert MEASURES["latency"].priced(3.6) is MEASURES["latency"]


def test_people_read_a_measure_in_the_unit_they_expect() -> None:
    record = make_record()
    assert record.metrics is not None
    latency = MEASURES["latency"]
    assert latency.value(record) == record.metrics.latency_s.p50
    assert latency.shown(record) == pytest.approx(record.metrics.latency_s.p50 * 1e3)
    assert latency.axis == "Latency, ms"


def test_every_number_of_a_record_has_a_measure() -> None:
    """A number that a record gains is missing in limits, tables and figures without one."""
    record = make_record()
    assert record.metrics is not None
    assert record.memory is not None
    assert record.fidelity is not None
    read = {m.value(record) for m in MEASURES.values()}
    for part in (record.metrics.latency_s, record.memory, record.fidelity):
        for name, value in vars_of(part).items():
            if isinstance(value, int | float) and name != "tolerance":
                assert value in read, name


def vars_of(part: object) -> dict[str, object]:
    return {name: getattr(part, name) for name in part.__dataclass_fields__}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("batch_size", "least", "met"),
    [(4, 0.9995, True), (4, 0.93, False), (4, None, False), (1, None, True)],
)
def test_only_a_batch_of_one_keeps_the_limit_without_a_figure(
    batch_size: int, least: float | None, met: bool
) -> None:
    record = make_record({"batch_size": batch_size})
    assert record.fidelity is not None
    record = replace(record, fidelity=replace(record.fidelity, neighbour_cosine_min=least))
    limit = parse_limit("neighbour_cosine_min>=0.999")
    assert limit.met(record) is met
    violation = limit.violation(record)
    assert (violation is not None and violation <= 0) is met
