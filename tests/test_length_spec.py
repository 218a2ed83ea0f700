"""The words for lengths that vary: one spelling each, and every mistake answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.errors import UsageError
from honed.length_spec import looks_like, parse, split, swept


@pytest.mark.parametrize(
    ("text", "spelled", "longest"),
    [
        ("uniform(8,512)", "uniform(8,512)", 512),
        (" Uniform ( 8 , 512 ) ", "uniform(8,512)", 512),
        ("8..512", "uniform(8,512)", 512),
        ("8 .. 8", "uniform(8,8)", 8),
        ("normal(120, 40.5)", "normal(120,40.5)", None),
        ("lognormal(120,200)", "lognormal(120,200)", None),
        ("./some, where/h.JSON", "./some, where/h.JSON", None),
        ("records.jsonl", "records.jsonl", None),
        ("h.csv", "h.csv", None),
    ],
)
def test_every_spelling_becomes_one(text: str, spelled: str, longest: int | None) -> None:
    assert str(parse(text)) == spelled
    assert parse(text).longest == longest
    assert parse(spelled) == parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("uniform(8)", "lengths=uniform(LEAST,MOST)"),
        ("uniform(8,a)", "two numbers"),
        ("uniform(512,8)", "the lesser first"),
        ("uniform(0,8)", "lengths=8..512"),
        ("uniform(1.5,8)", "whole numbers"),
        ("normal(10,20)", "lengths=lognormal(10,20)"),
        ("normal(0,1)", "mean of 1 or more"),
        ("lognormal(10,0)", "spread over 0"),
        ("lognormal(10,inf)", "not finite"),
        ("normal(nan,1)", "not finite"),
        ("unifrom(8,512)", "did you mean uniform"),
        ("zipf(2,3)", "lengths=8..512"),
        ("128", "sequence_length=128"),
        ("histogram.parquet", "histogram.json"),
        ("", "no distribution"),
    ],
)
def test_mistakes_are_answered(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert said in f"{refused.value.message} {refused.value.hint}"
    assert refused.value.hint


@given(st.integers(1, 10**9), st.integers(0, 10**9))
def test_no_digit_is_lost(low: int, more: int) -> None:
    assert parse(str(parse(f"{low}..{low + more}"))).longest == low + more


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("uniform(8,512)", ["uniform(8,512)"]),
        ("uniform(8,128), 8..512,null", ["uniform(8,128)", "8..512", "null"]),
        ("'uniform(8,128)',\"h,1.json\"", ["uniform(8,128)", "h,1.json"]),
        ("choice(uniform(8,128),8..512)", ["uniform(8,128)", "8..512"]),
        ("", [""]),
    ],
)
def test_commas_inside_brackets_and_quotes_do_not_sweep(text: str, parts: list[str]) -> None:
    assert swept(text) == parts


@given(st.lists(st.sampled_from(["uniform(8,64)", "8..512", "normal(9,2)", "a.json"]), min_size=1))
def test_what_was_joined_is_split(parts: list[str]) -> None:
    assert list(split(",".join(parts))) == parts


def test_a_distribution_in_the_wrong_place_is_recognised() -> None:
    assert looks_like("uniform(8,512)")
    assert looks_like("8..512")
    assert not looks_like("128")
    assert not looks_like("range(8,512)")
