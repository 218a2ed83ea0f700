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


@pytest.mark.parametrize("message", ["", "no number at all", "threads=2 of cpu0,1"])
def test_one_message_alone_is_itself(message: str) -> None:
    assert folded([message, message]) == {message: message}


def test_a_list_names_the_first_few() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(list("abcde")) == "a, b, c and 2 more"
