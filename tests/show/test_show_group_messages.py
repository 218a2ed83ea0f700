"""Messages that differ only in their numbers become one line."""

from __future__ import annotations

import pytest

from honed.show.group_messages import folded, listed


def test_numbers_that_differ_become_spans_in_the_order_of_size() -> None:
    own = ["17 calls say little", "9 calls say little", "not settled", "12 calls say little"]
    told = folded(own)
    assert [told[m] for m in own] == [
        "9 to 17 calls say little", "9 to 17 calls say little", "not settled",
        "9 to 17 calls say little",
    ]  # fmt: skip
    assert list(dict.fromkeys(told.values())) == ["9 to 17 calls say little", "not settled"]


def test_a_number_that_all_share_stays_as_it_is() -> None:
    own = ["4 of 10 trials: 1,200 ms", "5 of 10 trials: 900.5 ms"]
    assert set(folded(own).values()) == {"4 to 5 of 10 trials: 900.5 to 1,200 ms"}


def test_signs_count_and_other_words_are_another_line() -> None:
    own = ["changed by -26%: not yet warm", "changed by -3%: not yet warm", "changed by +9%: heat"]
    assert list(dict.fromkeys(folded(own).values())) == [
        "changed by -26 to -3%: not yet warm", "changed by +9%: heat"
    ]  # fmt: skip


def test_a_span_that_says_nothing_is_several_lines() -> None:
    own = ["spreads over 28706% of it", "spreads over 27% of it", "spreads over 31% of it"]
    told = folded(own)
    assert list(told) == own
    assert list(told.values()) == [
        "spreads over 28706% of it", "spreads over 27 to 31% of it", "spreads over 27 to 31% of it"
    ]  # fmt: skip
    steps = [f"{n} of {10 * n} calls" for n in (1, 5, 25, 125, 625)]
    assert len(set(folded(steps).values())) == 3


@pytest.mark.parametrize("message", ["", "no number at all", "threads=2 of cpu0,1"])
def test_one_message_alone_is_itself(message: str) -> None:
    assert folded([message, message]) == {message: message}


def test_a_list_names_the_first_few() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(list("abcde")) == "a, b, c and 2 more"
