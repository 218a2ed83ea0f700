"""The verdict in words: never a bare ratio."""

from __future__ import annotations

import math
from typing import Any

import pytest

from honed.compare.outcome import Comparison, Contrast, contrast, log_limit, ratio
from honed.compare.say import interval, sentence
from honed.record import Interval
from honed.statistics.paired import Estimate, Judgement


def comparison(**changes: Any) -> Comparison:
    plain: dict[str, Any] = {
        "sweep": "s", "metric": "latency", "resolution": 0.02, "slower_than": None,
        "budget_s": 600.0, "ended": "decided", "sides": (), "contrasts": (), "trials": (),
        "elapsed_s": 600.0,
    }  # fmt: skip
    return Comparison(**{**plain, **changes})


def said(kind: Any, value: float, low: float, high: float, **changes: Any) -> str:
    factor = changes.pop("factor", None)
    one = Contrast("B", "A", kind, Interval(value, (low, high)), 8, factor)
    return sentence(one, comparison(**changes))


def test_faster_and_slower_say_by_how_much_and_how_sure() -> None:
    assert said("faster", 0.877, 0.865, 0.89) == (
        "B is faster than A by 12.3 % (95 % interval 11.0 to 13.5 %; latency is lower)"
    )
    assert said("slower", 1.5, 1.3, 1.7) == (
        "B is slower than A by 50 % (95 % interval 30 to 70 %; latency is higher)"
    )
    assert said("faster", 1.031, 1.0292, 1.0329, metric="throughput") == (
        "B is faster than A by 3.10 % (95 % interval 2.92 to 3.29 %; throughput is higher)"
    )


def test_tie_and_not_slower_say_within_what() -> None:
    assert said("tie", 1.001, 0.99, 1.012) == (
        "B and A tie within 2 % (95 % interval -1.0 to +1.2 %)"
    )
    assert said("not slower", 1.01, 0.99, 1.03, slower_than=0.05) == (
        "B is not slower than A by 5 % or more (95 % interval -1.0 to +3.0 %)"
    )


def test_undecided_says_what_would_help() -> None:
    assert said("undecided", 1.01, 0.98, 1.04, factor=2.0) == (
        "B against A: undecided (95 % interval -2.0 to +4.0 % after 8 trials each; "
        "more budget: --budget 30m)"
    )
    assert "--budget 20m" in said("undecided", 1.01, 0.98, 1.04, factor=1.0, elapsed_s=300.0)
    assert "wider --resolution" in said("undecided", 1.02, 0.98, 1.06, factor=None)
    assert "wider --resolution" in said("undecided", 1.02, 0.98, 1.06, factor=50.0)
    gate = said("undecided", 1.05, 1.0, 1.1, factor=None, slower_than=0.05)
    assert "--fail-if-slower" in gate


def test_no_interval_and_reasons_are_said() -> None:
    one = Contrast("B", "A", "undecided", Interval(1.3), 2, 3.0)
    assert "no interval yet after 2 trials each" in sentence(one, comparison())
    why = Contrast("B", "A", "undecided", Interval(None), 0, reason="another machine")
    assert sentence(why, comparison()) == "B against A: undecided (another machine)"
    assert interval(Interval(1.0, (1.0, 1.0))) == "95 % interval +0.0 to +0.0 %"


def test_the_ratio_is_of_the_metric_and_the_log_of_time() -> None:
    at = Estimate(math.log(1.25), math.log(1.2), math.log(1.3), 6)
    slow = ratio(at, "latency")
    assert slow.value == pytest.approx(1.25)
    assert slow.ci95 == pytest.approx((1.2, 1.3))
    less = ratio(at, "throughput")
    assert less.value == pytest.approx(0.8)
    assert less.ci95 == pytest.approx((1 / 1.3, 1 / 1.2))
    assert ratio(Estimate(0.0, -math.inf, math.inf, 2), "latency").ci95 is None


def test_slower_by_a_share_is_as_the_metric_says_it() -> None:
    assert math.exp(log_limit(0.05, "latency")) == pytest.approx(1.05)
    assert math.exp(-log_limit(0.05, "throughput")) == pytest.approx(0.95)


def test_only_an_undecided_contrast_asks_for_budget() -> None:
    at = Estimate(0.03, 0.01, 0.05, 8)
    assert contrast(("B", "A"), Judgement("slower", at), "latency", 2.0).budget_factor is None
    assert contrast(("B", "A"), Judgement("undecided", at), "latency", 0.5).budget_factor == 1
    assert (
        contrast(("B", "A"), Judgement("undecided", at), "latency", math.inf).budget_factor is None
    )


def test_json_has_the_contracts_keys_and_no_verdict_where_there_are_several() -> None:
    one = Contrast("B", "A", "tie", Interval(1.0, (0.99, 1.01)), 8)
    found = comparison(contrasts=(one,)).to_json()
    assert found["verdict"] == "tie"
    assert found["ratio"] == {"value": 1.0, "ci95": (0.99, 1.01)}
    assert found["trials"] == ()
    several = comparison(contrasts=(one, one)).to_json()
    assert several["verdict"] is None
    assert several["ratio"] is None
    assert len(several["contrasts"]) == 2
