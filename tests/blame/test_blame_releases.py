"""Which releases a word means, with an index that the test makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheels import offline, write_index, write_wheel

from honed.blame.releases import parse
from honed.environments.index import releases
from honed.errors import HonedError, UsageError

KNOWN = ("1.31.1", "1.31.0", "1.30.0", "1.29.1", "1.29.0", "1.27.0", "1.26.0", "1.4.0")


def nothing(_: str) -> tuple[str, ...]:
    raise AssertionError("the index was asked")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("ort==1.29..1.31", "1.29.0 1.29.1 1.30.0 1.31.0 1.31.1"),
        ("ort == 1.29.1 .. 1.31.0", "1.29.1 1.30.0 1.31.0"),
        ("ort==1..1.27", "1.4.0 1.26.0 1.27.0"),
    ],
)
def test_a_range_holds_every_release_between_its_ends(word: str, found: str) -> None:
    assert parse(word, lambda _: KNOWN).versions == tuple(found.split())


def test_named_releases_need_no_index_and_are_put_in_order() -> None:
    found = parse("ort==1.31.0,1.4.0,1.29.0", nothing)
    assert (found.package, found.versions) == ("ort", ("1.4.0", "1.29.0", "1.31.0"))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("onnxruntime", "names no releases"),
        ("ort==1.29", "two releases or more"),
        ("ort==1.29..x", "'x' is no version"),
        ("ort==2.0..3.0", "0 releases of ort lie in 2.0..3.0"),
    ],
)
def test_a_word_that_means_no_search_is_refused(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(word, lambda _: KNOWN)


def test_pip_lists_what_the_index_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = write_index(tmp_path / "wheels")
    write_wheel(wheels, "oldengine", "1.10")
    for name, value in offline(tmp_path / "home", wheels).items():
        monkeypatch.setenv(name, value)
    assert releases("oldengine") == ("2.0", "1.10", "1.0")
    with pytest.raises(HonedError, match="no release of nowhere_at_all"):
        releases("nowhere_at_all")
