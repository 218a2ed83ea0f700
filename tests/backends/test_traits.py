"""Traits of backends: defaults, misspelt ones, and what other rooms read from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed import discovery
from honed.backends import base
from honed.backends.base import (
    Backend,
    Traits,
    comparable_backends,
    engine_packages,
    load_backend,
    memory_words,
    refuse_step,
    survey_backends,
    traits,
)
from honed.case import Case
from honed.discovery import BrokenFileError
from honed.errors import UnsupportedError
from honed.step import StepKind

FAKE = Path(str(discovery.__file__)).parent / "backends/fake.py"


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty package that the functions of `base` take for the room of backends."""
    package = f"backends_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(base, "_ROOM", package)
    return package


def put(tmp_path: Path, room: str, change: tuple[str, str]) -> None:
    """Copy the fake into the room as "newcomer", with one piece of its text changed."""
    text = FAKE.read_text()
    assert change[0] in text
    (tmp_path / room / "newcomer.py").write_text(text.replace(*change))


DECLARED = 'TRAITS = Traits(hidden=True, calibrated=("int8",), steps=tuple(StepKind))'


@pytest.mark.parametrize(
    ("declared", "fault"),
    [
        ("TRAITS = Traits(hiden=True)", "unexpected keyword argument 'hiden'"),
        ("TRAITS = {'hidden': True}", "defines TRAITS as dict"),
        ("TRAIT = Traits(hidden=True)", "calls its traits TRAIT"),
        ("EXPERT_RANK = 2", "TRAITS = Traits(expert_rank=...)"),
        ("EXPRT_RANK = 2", "TRAITS = Traits(expert_rank=...)"),
        ("HIDDEN = True", "TRAITS = Traits(hidden=...)"),
        ("THREADPOOL = 'openmp'", "TRAITS = Traits(thread_pool=...)"),
    ],
)
def test_a_misspelt_trait_is_an_error(
    tmp_path: Path, room: str, declared: str, fault: str
) -> None:
    put(tmp_path, room, (DECLARED, declared))
    with pytest.raises(BrokenFileError) as refused:
        load_backend("newcomer")
    assert fault in refused.value.message
    assert list(survey_backends().broken) == ["newcomer"]


def test_a_file_without_traits_has_the_defaults(tmp_path: Path, room: str) -> None:
    put(tmp_path, room, (DECLARED, ""))
    assert traits("newcomer") == Traits()
    assert list(survey_backends().listed) == ["newcomer"]


def test_the_packages_of_a_new_file_are_recorded(tmp_path: Path, room: str) -> None:
    """By its file alone: no list of packages elsewhere names them."""
    put(tmp_path, room, (DECLARED, 'TRAITS = Traits(packages=("pluggy",))'))
    assert engine_packages() == ("fake", "pluggy")


def test_hidden_backends_are_in_no_list() -> None:
    assert "fake" in survey_backends().working
    assert "fake" not in survey_backends().listed
    assert "fake" not in engine_packages()


def test_a_kind_of_step_that_a_backend_lacks_is_refused() -> None:
    refuse_step(Case(model="m", backend="fake"), StepKind.TRAINING)
    refuse_step(Case(model="m", backend="torch"), StepKind.FORWARD)
    with pytest.raises(UnsupportedError, match="onnxruntime has no kernel step") as refused:
        refuse_step(Case(model="m", backend="onnxruntime"), StepKind.KERNEL)
    assert refused.value.hint


def test_engines_with_one_reference_are_comparable() -> None:
    assert {"torch", "onnxruntime", "openvino"} <= set(comparable_backends("onnxruntime"))
    assert comparable_backends("fake") == ("fake",)


def test_the_reference_of_an_engine_may_run_out_of_memory_too() -> None:
    assert "can't allocate memory" in memory_words("openvino")
    assert "failed to allocate memory" in memory_words("onnxruntime")
    assert set(memory_words("fake")) == {"out of memory", "bad_alloc"}


@pytest.mark.parametrize("name", survey_backends().working)
def test_every_trait_means_something(name: str) -> None:
    backend: Backend = load_backend(name)
    declared = traits(name)
    assert set(declared.calibrated) <= set(backend.PRECISIONS)
    assert all(words == words.lower() for words in declared.memory_words)
    assert declared.thread_pool in ("", "openmp")
