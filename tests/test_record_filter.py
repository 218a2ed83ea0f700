import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.errors import UsageError
from honed.record_filter import Condition, known_keys, parse

CASE = {"model": "bert", "batch_size": 8, "duration_s": 5.0, "threads": None, "memory": True}


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["batch_size=8"], True),
        (["batch_size = 8.0"], True),
        (["batch_size!=8"], False),
        (["batch_size>4", "batch_size<=8"], True),
        (["batch_size>4 and batch_size<8"], False),
        (["duration_s>=5 and model=bert and memory=true"], True),
        (["model='bert'"], True),
        (["threads=null"], True),
        (["threads>0"], False),
        (["threads<=0"], False),
        (["threads!=2"], True),
        (["torch.mode=null"], True),
    ],
)
def test_conditions_hold_together(words, holds):
    assert all(c.holds(CASE) for c in parse(words)) is holds


def test_a_value_may_hold_an_and():
    (one,) = parse(["model=./this and that"])
    assert one == Condition("model", "=", "./this and that")
    both = parse(["model=./this and that and created > 2026-01-01"])
    assert both == (one, Condition("created", ">", "2026-01-01"))


@given(st.integers(-1000, 1000), st.integers(-1000, 1000))
def test_signs_mean_what_they_mean(value, bound):
    case = {"seed": value}
    meant = {
        ">": value > bound,
        ">=": value >= bound,
        "<": value < bound,
        "<=": value <= bound,
        "=": value == bound,
        "!=": value != bound,
    }
    for sign, true in meant.items():
        assert parse([f"seed{sign}{bound}"])[0].holds(case) is true


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("batch_size", "is no condition"),
        ("=8", "is no condition"),
        ("batch_size>many", "is no number"),
        ("status=oon", "is not known"),
    ],
)
def test_what_is_wrong_is_told(word, said):
    with pytest.raises(UsageError, match=said) as caught:
        parse([word])
    assert caught.value.hint


def test_unknown_keys_name_the_nearest():
    known_keys(parse(["batch_size=8 and created>2026"]), [])
    with pytest.raises(UsageError) as caught:
        known_keys(parse(["torch.mod=x"]), [{"torch.mode": "compile"}])
    assert "torch.mode" in caught.value.hint


def test_a_condition_about_a_measure_says_that_it_is_no_setting():
    with pytest.raises(UsageError) as caught:
        known_keys(parse(["latency_p99_ms<=50"]), [])
    assert "not about what was measured" in caught.value.hint
