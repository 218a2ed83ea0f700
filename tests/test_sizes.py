"""Sizes of instances, as people type them."""

from __future__ import annotations

import pytest

from honed.case import Case
from honed.errors import UsageError
from honed.sizes import parse, spelled, usual


@pytest.mark.parametrize(
    ("text", "cores", "spelling"),
    [
        ("8+16+24", (8, 16, 24), "8+16+24"),
        ("16+2x8", (8, 8, 16), "2x8+16"),
        ("1 + 1 + 2", (1, 1, 2), "2x1+2"),
    ],
)
def test_sizes_have_one_spelling(text: str, cores: tuple[int, ...], spelling: str) -> None:
    assert parse(text) == cores
    assert spelled(cores) == spelling
    case = Case(model="m", sizes=text)
    assert (case.sizes, case.instances) == (spelling, len(cores))
    assert case == Case(model="m", sizes=spelling, instances=len(cores))
    assert Case.from_json(case.to_json()) == case


@pytest.mark.parametrize("text", ["8+", "8x", "0x4+2", "8-16", "8+0", "x", "8,16"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no number of cores"):
        parse(text)


def test_equal_sizes_have_words_of_their_own() -> None:
    with pytest.raises(UsageError) as caught:
        parse("2x8")
    assert caught.value.hint == "instances=2 threads=8"


@pytest.mark.parametrize("contradiction", [{"instances": 2}, {"threads": 4}])
def test_sizes_say_how_many_instances_and_threads(contradiction: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="contradicts sizes"):
        Case(model="m", sizes="8+16+24", **contradiction)


@pytest.mark.parametrize(
    ("cores", "divisions"),
    [(1, ()), (2, ()), (3, ("1+2",)), (4, ("1+3",)), (6, ("2+4", "1+2+3")),
     (48, ("16+32", "8+16+24"))],
)  # fmt: skip
def test_the_usual_divisions_use_every_core(cores: int, divisions: tuple[str, ...]) -> None:
    assert usual(cores) == divisions
    assert all(sum(parse(each)) == cores for each in divisions)
