"""What reproduces a recommendation outside of honed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from honed.case import Case
from honed.compose import compose
from honed.machine.knobs import allocator
from honed.tune.recipe import recipe


def test_the_command_the_environment_and_the_snippet_say_only_what_is_set() -> None:
    found = recipe(Case(model="tiny-bert", backend="onnxruntime", precision="int8", threads=1))
    assert found.command == (
        "honed run model=tiny-bert backend=onnxruntime precision=int8 threads=1"
    )
    assert found.environment == "OMP_NUM_THREADS=1"
    assert "    threads=1," in found.python.splitlines()


@pytest.mark.parametrize(
    ("lengths", "typed"),
    [
        ("lognormal(60,40)", "lengths='lognormal(60,40)'"),
        ("8..512", "lengths='uniform(8,512)'"),
        ("./lengths.json", "lengths=./lengths.json"),
        ("./my lengths.json", "lengths='./my lengths.json'"),
    ],
)
def test_lengths_are_typed_with_the_fewest_quotes(lengths: str, typed: str) -> None:
    case = Case(model="tiny-bert", lengths=lengths, sequence_length=512)
    assert f" {typed} " in f"{recipe(case).command} "


@pytest.mark.parametrize("model", ["tiny-bert", "./my model", "./it's", "./$HOME", "./a!b", "./~"])
@pytest.mark.parametrize(
    "lengths",
    [None, "lognormal(60,40)", "8..512", "./a,b.json", "./it's (1).csv", "./$x, y.json"],
)
def test_bash_and_the_grammar_read_the_command_back_as_the_same_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, lengths: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    case = Case(model=model, lengths=lengths, sequence_length=256, threads=2)
    found = recipe(case).command.removeprefix("honed run")
    printed = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {found}"], capture_output=True, text=True, check=True
    )
    words = printed.stdout.split("\0")[:-1]
    assert compose(words).cases == (case,)


def test_a_preloaded_allocator_brings_what_its_engine_needs_beside_it() -> None:
    def lines(backend: str) -> list[str]:
        case = Case(model="tiny-bert", backend=backend, knobs={"allocator": "jemalloc"})
        return recipe(case).environment.splitlines()

    path = allocator.find("jemalloc")
    assert f"LD_PRELOAD={path}" in lines("onnxruntime")
    assert "TBB_ENABLE_SANITIZERS=1" in lines("openvino")
    assert "TBB_ENABLE_SANITIZERS=1" not in lines("onnxruntime")
