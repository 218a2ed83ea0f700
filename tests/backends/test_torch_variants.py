"""Which mode goes with which precision, and how the others are refused."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from honed import discovery
from honed.backends import torch as backend
from honed.backends.base import precision_of_most
from honed.backends.torch import inductor, variants
from honed.backends.torch.precisions import fp16, int8_static
from honed.case import Case
from honed.errors import UnsupportedError

MODES = discovery.names("honed.backends.torch.modes")


def case(precision: str = "fp32", device: str = "cpu", **knobs: Any) -> Case:
    named = {f"torch.{name}": value for name, value in knobs.items()}
    return Case(model="m", precision=precision, device=device, knobs=named)


def test_the_files_are_the_values() -> None:
    assert set(variants.MODE.values) == set(MODES) == {"eager", "compile", "aoti", "torchscript"}
    files = set(discovery.names("honed.backends.torch.precisions"))
    words = {variants.precision_name(case(p)) for p in backend.PRECISIONS}
    words |= {variants.precision_name(case("bf16", bf16="autocast"))}
    words |= {variants.precision_name(case("int8", int8="static"))}
    words |= {variants.precision_name(case("int8", int8="per_row"))}
    assert words == files


@pytest.mark.parametrize(
    ("asked", "says", "hint"),
    [
        (case("int8", mode="compile"), "int8 dynamic", "torch.int8=static"),
        (case("int8", int8="static"), "int8 static", "torch.mode=compile or aoti"),
        (case("int8", int8="static", mode="compile", freezing="off"), "frozen", "freezing"),
        (case("bf16", bf16="autocast", mode="aoti"), "autocast", "torch.bf16=weights"),
        (case("bf16", bf16="autocast", mode="torchscript"), "autocast", "torch.mode=eager"),
        (case(bf16="weights"), "about bf16", "precision=bf16"),
        (case("bf16", int8="dynamic"), "about int8", "precision=int8"),
        (case(freezing="on"), "compiled code", "torch.mode=compile"),
        (case(mode="eager", max_autotune="off"), "compiled code", "torch.mode=compile"),
        (case("int8", device="cuda"), "CPUs only", "device=cpu"),
        (case("int4", device="cuda"), "CPUs only", "device=cpu"),
    ],
)
def test_an_impossible_combination_is_refused_with_one_that_works(
    asked: Case, says: str, hint: str
) -> None:
    with pytest.raises(UnsupportedError, match=says) as refused:
        backend.check(asked)
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    "asked",
    [
        case("bf16", mode="compile", freezing="on", max_autotune="on"),
        case("bf16", bf16="autocast", mode="compile"),
        case("int8", int8="static", mode="aoti"),
        case("int8", int8="static", mode="compile", max_autotune="on"),
        case("int8", int8="per_row", mode="compile", max_autotune="on"),
        case("int4", mode="compile"),
        case("fp16", device="cuda"),
        case("fp32", mode="aoti", buckets=32),
    ],
)
def test_a_possible_combination_is_accepted(asked: Case) -> None:
    backend.check(asked)


def test_fp16_needs_instructions_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fp16, "cpu_flags", lambda: {"avx512_bf16"})
    with pytest.raises(UnsupportedError, match="fp16 products"):
        backend.check(case("fp16"))
    monkeypatch.setattr(fp16, "cpu_flags", lambda: {"amx_fp16"})
    backend.check(case("fp16"))


def test_no_compiler_no_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not variants._mode("compile").available().ok
    assert not variants._mode("aoti").available().ok
    assert variants._mode("torchscript").available().ok
    with pytest.raises(UnsupportedError, match="no-such-compiler") as refused:
        backend.check(case(mode="compile"))
    assert "apt-get install g++" in refused.value.hint


def test_static_int8_without_torchao_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(UnsupportedError, match="torchao not installed") as refused:
        backend.check(case("int8", int8="static", mode="compile"))
    assert refused.value.hint.startswith("pip install 'honed[")
    assert not int8_static.available().ok


def test_unset_options_of_inductor_keep_their_defaults() -> None:
    assert inductor.settings(case(mode="compile")) == {}
    assert inductor.settings(case(mode="compile", freezing="off", max_autotune="on")) == {
        "freezing": False,
        "max_autotune": True,
    }


def test_static_int8_is_always_frozen() -> None:
    asked = case("int8", int8="static", mode="compile")
    assert inductor.settings(asked) == {"freezing": True}


def test_only_autotuned_static_int8_is_compiled_without_the_reuse_of_buffers() -> None:
    asked = case("int8", int8="static", mode="compile", max_autotune="on")
    assert inductor.settings(asked)["allow_buffer_reuse"] is False
    other = case("int8", int8="per_row", mode="compile", max_autotune="on")
    assert "allow_buffer_reuse" not in inductor.settings(other)


@pytest.mark.parametrize(
    ("counts", "precision"),
    [
        ({"fp32": 72}, "fp32"),
        ({"fp32": 71, "bf16": 1}, None),
        ({"bf16": 70, "fp32": 2}, "bf16"),
        ({"int8": 72, "fp32": 1}, "int8"),
        ({}, None),
    ],
)
def test_the_precision_is_that_of_most_products(
    counts: dict[str, int], precision: str | None
) -> None:
    assert precision_of_most(Counter(counts).elements()) == precision


def test_graphs_that_differ_prove_nothing() -> None:
    one = inductor.Graph({"freezing": True, "max_autotune": False}, Counter())
    other = inductor.Graph({"freezing": False, "max_autotune": False}, Counter())
    facts = inductor.read_back([one, other])
    assert facts == {"graphs": 2, "torch.freezing": None, "torch.max_autotune": "off"}
    assert inductor.read_back([])["torch.freezing"] is None


@pytest.mark.engine
def test_transformers_does_not_bring_torchao_along() -> None:
    code = (
        "import sys, honed.backends.torch as b; b.start()\n"
        "import transformers; transformers.BertModel\n"
        "print('transformers' in sys.modules, 'torchao' in sys.modules)\n"
        "import torchao; print(torchao.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "torchao"]
