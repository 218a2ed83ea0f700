"""Words to sides."""

from __future__ import annotations

import pytest

from honed.case import Case
from honed.compare.settings import differing, lettered, several_stored, sides, split
from honed.errors import UsageError


def test_shared_words_belong_to_every_side() -> None:
    found = sides(["model=tiny", "batch_size=4", "A:", "backend=torch", "B:", "backend=fake"])
    assert list(found) == ["A", "B"]
    assert [c.backend for c in found.values()] == ["torch", "fake"]
    assert {c.batch_size for c in found.values()} == {4}


def test_a_side_may_change_a_shared_word_and_labels_may_be_glued() -> None:
    found = sides(["model=tiny", "batch_size=4", "old:batch_size=1", "new:"])
    assert {k: c.batch_size for k, c in found.items()} == {"old": 1, "new": 4}


def test_without_labels_a_sweep_is_compared() -> None:
    found = sides(["model=tiny", "backend=torch,fake", "batch_size=1,2"])
    assert list(found) == ["A", "B", "C", "D"]
    assert [c.get("backend") for c in found.values()] == ["torch", "torch", "fake", "fake"]


def test_the_same_setting_twice_is_allowed_by_name() -> None:
    found = sides(["model=tiny", "A:", "B:"])
    assert found["A"] == found["B"]
    assert differing(found) == {"A": {}, "B": {}}


def test_a_stored_case_is_the_first_side_and_words_change_it() -> None:
    stored = Case("tiny", batch_size=8, knobs={"torch.mode": "compile"})
    found = sides(["precision=bf16"], stored)
    assert found == {"A": stored, "B": stored.replace(precision="bf16")}
    eager = sides(["torch.mode=null"], stored)["B"]
    assert eager.get("torch.mode") is None


def test_another_engine_leaves_the_old_ones_knobs_behind() -> None:
    stored = Case("tiny", batch_size=8, knobs={"torch.mode": "compile"})
    other = sides(["backend=fake", "fake.latency_us=10"], stored)["B"]
    assert dict(other.knobs) == {"fake.latency_us": 10}
    assert other.batch_size == 8


def test_a_stored_case_with_labels() -> None:
    stored = Case("tiny", batch_size=8)
    found = sides(["A:", "batch_size=1", "B:", "batch_size=2"], stored)
    assert [c.batch_size for c in found.values()] == [1, 2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=tiny"], "nothing to compare"),
        (["model=tiny", "A:", "batch_size=1"], "nothing to compare"),
        (["model=tiny", "A:", "A:"], "two sides are called A"),
        (["model=tiny", "A:", "batch_size=1,2", "B:"], "side A is 2 cases"),
        (["A:", "B:"], "which model"),
        (["model=tiny", "A:", "bach_size=1", "B:"], "bach_size"),
        (["model=tiny", "torch.mode=compile", "A:", "B:", "backend=fake"], "torch.mode needs"),
    ],
)
def test_words_that_cannot_be(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        sides(words)
    assert said in refused.value.message
    assert refused.value.hint


def test_a_stored_case_alone_asks_what_to_change() -> None:
    with pytest.raises(UsageError) as refused:
        sides([], Case("tiny"))
    assert "RECORD_ID" in refused.value.hint


def test_several_stored_cases_are_the_sides_and_words_change_each() -> None:
    one, two = Case("tiny", threads=1), Case("tiny", precision="int8")
    assert several_stored([], [one, two]) == {"A": one, "B": two}
    wide = several_stored(["batch_size=8"], [one, two])
    assert wide == {"A": one.replace(batch_size=8), "B": two.replace(batch_size=8)}
    for words, said in (["A:", "B:"], "labels"), (["batch_size=1,2"], "one side"):
        with pytest.raises(UsageError, match=said):
            several_stored(words, [one, two])


def test_a_value_with_a_colon_is_no_label() -> None:
    shared, labelled = split(["model=a:b", "A:", "inputs='c:d'"])
    assert shared == ["model=a:b"]
    assert labelled == {"A": ["inputs='c:d'"]}


def test_many_sides_have_names() -> None:
    assert list(lettered([Case("tiny", seed=i) for i in range(28)]))[24:] == ["Y", "Z", "27", "28"]


def test_what_differs_is_said_as_it_is_typed() -> None:
    plain, odd = Case("tiny"), Case("tiny", trust_remote_code=True, knobs={"smt": "on"})
    assert differing({"A": plain, "B": odd}) == {
        "A": {"trust_remote_code": "false"},
        "B": {"trust_remote_code": "true", "smt": "on"},
    }
