"""Paths as people type them, and the quotes that a shell and the override grammar need."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from honed import typed_paths
from honed.compose import compose
from honed.errors import UsageError

NAMES = (
    "mödel-日本", "x@y#z%q", "a,b", "with space", "model (1)", "epoch=3-step=10", "it's", "{a}[b]",
    "$HOME", "back\\slash", 'dou"ble', "a&b;c", "~x", "null", "1e3", "trailing\\",
)  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["model", "inputs"])
def test_a_path_that_exists_is_read_as_it_is_typed(here: Path, key: str, name: str) -> None:
    (here / name).mkdir()
    words = [f"{key}=./{name}", *(["model=tiny"] if key == "inputs" else [])]
    (case,) = compose(words).cases
    assert case.get(key) == f"./{name}"


def test_a_model_folder_needs_no_dot(here: Path) -> None:
    (here / "a,b").mkdir()
    (here / "a,b" / "config.json").touch()
    assert [c.model for c in compose(["model=a,b"]).cases] == ["a,b"]


@pytest.mark.parametrize("name", [n for n in NAMES if not n.endswith("\\")])
def test_the_quoting_that_is_shown_survives_bash_and_the_grammar(name: str) -> None:
    (word,) = shlex.split(typed_paths.in_shell("model", f"./{name}"))
    (case,) = compose([word]).cases
    assert case.model == f"./{name}"


@pytest.mark.parametrize("name", ["mödel-日本", "x@y#z%q", "model (1)", "epoch=3-step=10"])
def test_a_word_that_cannot_be_read_shows_the_quoting_for_it(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose([f"model=./{name}"])
    assert caught.value.hint == f"write key=value with quotes: \"model='./{name}'\""


def test_a_comma_that_made_two_cases_is_pointed_out(here: Path) -> None:
    (here / "a").mkdir()
    sweep = compose(["model=./a,b/c"])
    assert len(sweep.cases) == 2
    (notice,) = sweep.notices
    assert "model has 2 values, because a comma separates them" in notice
    assert notice.endswith("\"model='./a,b/c'\"")
    assert compose(["model=tiny,bert-base-uncased"]).notices == ()
    assert compose(["model=./a,tiny"]).notices == ()


def test_a_comma_with_two_meanings_is_refused_with_both(here: Path) -> None:
    for name in ("a", "b", "a,b"):
        (here / name).mkdir()
        (here / name / "config.json").touch()
    with pytest.raises(UsageError, match="one path, and several") as caught:
        compose(["model=a,b"])
    assert caught.value.hint == "for one path: \"model='a,b'\"; for several: 'model=choice(a,b)'"
    assert [c.model for c in compose(["model=choice(a,b)"]).cases] == ["a", "b"]
    assert [c.model for c in compose(["model='a,b'"]).cases] == ["a,b"]
