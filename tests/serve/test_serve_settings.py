"""Words of a server: its settings, the Case's, and what is neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.case import Case
from honed.errors import UsageError
from honed.serve.crew import left_out_notice, served
from honed.serve.settings import ServeSettings, split


def test_words_are_divided_between_the_server_and_its_case() -> None:
    settings, others = split(
        [
            "model=m",
            "port=9000",
            "auto_truncate=off",
            "max_wait_s=2",
            "fake.fail=raise",
            "cors=null",
        ]
    )
    assert (settings.port, settings.auto_truncate, settings.max_wait_s) == (9000, False, 2.0)
    assert settings.cors is None
    assert others == ["model=m", "fake.fail=raise"]


@pytest.mark.parametrize(
    "word", ["prot=1", "port=many", "port=-1", "max_wait_s=0", "auto_truncate=perhaps"]
)
def test_a_wrong_word_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        split([word])


def test_a_server_leaves_out_what_is_for_calls_of_one_shape() -> None:
    knobs = {"openvino.shapes": "static", "openvino.streams": 2}
    case = served(Case(model="tiny-bert", backend="openvino", knobs=knobs))
    assert dict(case.knobs) == {"openvino.streams": 2}


def test_a_word_that_a_server_leaves_out_is_named() -> None:
    static = Case(model="tiny-bert", backend="openvino", knobs={"openvino.shapes": "static"})
    assert left_out_notice(static).startswith("openvino.shapes=static is left out")
    assert left_out_notice(static.replace(knobs={"openvino.shapes": None})) == ""


def test_keys_come_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HONED_API_KEY", raising=False)
    assert ServeSettings().keys() == frozenset()
    monkeypatch.setenv("HONED_API_KEY", "secret")
    assert ServeSettings().keys() == {"secret"}
    file = tmp_path / "keys"
    file.write_text("one\n\n two \n")
    assert ServeSettings(api_keys=str(file)).keys() == {"one", "two"}
    file.write_text("\n")
    for path in (file, tmp_path / "missing"):
        with pytest.raises(UsageError):
            ServeSettings(api_keys=str(path)).keys()
