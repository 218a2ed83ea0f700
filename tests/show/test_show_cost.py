"""Costs: computed from the user's price and a record's throughput, for the whole machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import MACHINE, failed_record, make_record, sweep_records

from honed.errors import UsageError
from honed.measures import parse_limit
from honed.record import Interval, Record
from honed.show.cost import Entry, cheapest, cost, median_cost, prices
from honed.show.cost_table import cost_column, cost_notes
from honed.units import price

KNOWN = prices("$3.6/h")


def at_rate(
    per_s: float, ci95: tuple[float, float] | None = None, seed: int = 0, **fields: Any
) -> Record:
    """A record with this throughput; `fields` as for make_record."""
    record = make_record(fields.pop("case", None), seed=seed, **fields)
    assert record.metrics is not None
    metrics = replace(record.metrics, throughput_per_s=Interval(per_s, ci95))
    return replace(record, id=f"{seed:012d}", metrics=metrics)


def of(record: Record) -> float:
    found = cost(record, KNOWN)
    assert found is not None
    assert found.per_million.value is not None
    return found.per_million.value


def test_a_million_sequences_at_ten_a_second_take_a_hundred_thousand_seconds() -> None:
    found = cost(at_rate(10, (8, 12.5)), KNOWN)
    assert found is not None
    assert found.per_million.value == pytest.approx(100)
    assert found.per_million.ci95 == pytest.approx((80, 125))


@given(st.floats(0.01, 1e6), st.floats(1.1, 1000))
def test_twice_the_throughput_costs_half(per_s: float, times: float) -> None:
    assert of(at_rate(per_s * times)) == pytest.approx(of(at_rate(per_s)) / times)


def test_the_whole_machine_is_paid_for_however_few_cores_are_used() -> None:
    part, whole = (at_rate(10, case={"threads": n}) for n in (2, 8))
    assert of(part) == of(whole)
    found = cost(part, KNOWN)
    assert found is not None
    assert (found.cores_used, found.cores, found.idle_cores) == (2, 8, 6)


def test_what_has_no_throughput_or_no_fitting_price_has_no_cost() -> None:
    assert cost(failed_record("oom", "x"), KNOWN) is None
    assert cost(make_record(), (Entry(price("1/h"), cpu="Other*"),)) is None


def test_a_price_is_never_part_of_a_record() -> None:
    record = at_rate(10)
    before = record.to_json()
    assert cost(record, KNOWN) is not None
    assert record.to_json() == before


def test_machines_are_told_apart_by_processor_and_cores(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        "- {name: big, cpu: 'Example CPU*', cores: 96, price: 8/h}\n"
        "- {name: ours, cpu: '*2.70GHz', cores: 8, price: 2 EUR/h}\n"
        "- {name: any, price: 1/h}\n"
    )
    known = prices(str(file))
    found = cost(at_rate(10), known)
    other = cost(replace(at_rate(10), machine={**MACHINE, "cpu": "Else"}), known)
    assert found is not None
    assert other is not None
    assert (found.entry.name, found.price.currency) == ("ours", "EUR")
    assert other.entry.name == "any"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "no list"),
        ("price: 4/h", "no list"),
        ("- {name: x}", "machine 1 .* no price"),
        ("- {price: 4/h, core: 2}", "'core'"),
        ("- {price: 4/h, cores: many}", "cores=many"),
        ("- {price: low}", "'low' is no price"),
        ("- [", "cannot read prices"),
    ],
)
def test_a_file_that_is_no_price_list_teaches(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "prices.yml"
    file.write_text(text)
    with pytest.raises(UsageError, match=why) as caught:
        prices(str(file))
    assert caught.value.hint


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="cannot read prices"):
        prices("nowhere.yaml")


def test_the_cheapest_meets_every_limit_and_is_ok() -> None:
    slow_and_cheap = at_rate(100, seed=1, p50_s=0.2)
    fast = at_rate(20, seed=2, p50_s=0.02)
    faster = at_rate(10, seed=3, p50_s=0.01)
    wrong = at_rate(500, seed=4, p50_s=0.01, status="diverged")
    records = [slow_and_cheap, fast, faster, wrong]
    assert cheapest(records, KNOWN).best == slow_and_cheap
    assert cheapest(records, KNOWN, [parse_limit("latency_p99_ms<=50")]).best == fast
    both = [parse_limit("latency_p99_ms<=50"), parse_limit("latency_p50_ms<=15")]
    assert cheapest(records, KNOWN, both).best == faster


def test_where_none_meets_the_limit_the_nearest_is_named() -> None:
    records = [at_rate(100, seed=1, p50_s=0.2), at_rate(20, seed=2, p50_s=0.06)]
    found = cheapest(records, KNOWN, [parse_limit("latency_p99_ms<=50")])
    assert (found.best, found.nearest) == (None, records[1])
    notes = cost_notes(records, KNOWN, [parse_limit("latency_p99_ms<=50")])
    assert any("nearest: 00000000" in n and "latency_p99_ms 6" in n for n in notes)


def test_what_it_may_not_be_cheaper_than_is_said() -> None:
    records = [
        at_rate(10, (9, 11), 1), at_rate(10.5, (9.5, 11.5), 12345678_0000), at_rate(5, (4, 6), 3)
    ]  # fmt: skip
    found = cheapest(records, KNOWN)
    assert found.rivals == (records[0],)
    assert any("not surely cheaper than 00000000" in n for n in cost_notes(records, KNOWN))


def test_currencies_are_not_mixed() -> None:
    known = (Entry(price("1 EUR/h"), cpu="Example*"), Entry(price("$0.01/h")))
    other = replace(at_rate(10, seed=2), machine={**MACHINE, "cpu": "Else"})
    assert cheapest([at_rate(10, seed=1), other], known).best == at_rate(10, seed=1)


def test_the_notes_state_what_is_assumed_and_what_idles() -> None:
    notes = cost_notes([at_rate(10, case={"threads": 2})], KNOWN)
    assert notes[0] == ("cost of the whole machine while it runs only this, back to back ($3.6/h)")
    assert "leaves 6 of 8 cores idle" in notes[-1]
    assert "more threads or instances" in notes[-1]


def test_what_is_not_priced_and_not_known_is_counted() -> None:
    few = make_record(calls=12)
    notes = cost_notes([few], KNOWN, [parse_limit("latency_p99_ms<=50")])
    assert notes[-1].startswith("some records have too few calls for latency_p99_ms")
    assert cost_notes([few], (Entry(price("1/h"), cpu="x"),)) == [
        "no price fits the machine of 1 record"
    ]


def test_a_column_marks_the_surely_cheapest() -> None:
    records = [at_rate(10, (9.9, 10.1), 1), at_rate(20, (19.9, 20.1), 2)]
    cells = cost_column(KNOWN).cells(records)
    assert [c.text for c in cells] == ["$100.0 ±1.0", "$50.00 ±0.25"]
    assert [c.best for c in cells] == [False, True]
    assert len(cost_column(KNOWN).cells(sweep_records())) == 8


def test_processes_of_one_case_have_their_median() -> None:
    found = median_cost([at_rate(r) for r in (10, 20, 40)], KNOWN)
    assert found is not None
    assert found.per_million == Interval(pytest.approx(50))
    pair = median_cost([at_rate(r) for r in (10, 20)], KNOWN)
    assert pair is not None
    assert pair.per_million.value == pytest.approx(75)
    assert median_cost([], KNOWN) is None
