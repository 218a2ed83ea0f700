"""Attention alone: every implementation computes the same, and what cannot fit is not tried."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.backends.base import LoadRequest, load_backend
from honed.backends.torch import attention
from honed.case import Case
from honed.errors import OutOfMemoryError, UnsupportedError, UsageError
from honed.instruments.fidelity import compare, complaint
from honed.step import StepKind

pytestmark = pytest.mark.engine
ROWS, LENGTH, WIDTH = 2, 48, 16


def case_of(name: str = "naive", **changes: Any) -> Case:
    knobs = {"attention": name, "d_model": WIDTH, **changes.pop("knobs", {})}
    case = Case(model="none", workload="attention", batch_size=ROWS, sequence_length=LENGTH)
    return case.replace(knobs=knobs, **changes)


def step_of(name: str = "naive", **changes: Any) -> Any:
    backend = load_backend("torch")
    backend.start()
    return backend.load(LoadRequest(case_of(name, **changes), None, 1, step=StepKind.KERNEL), None)


def feed_of(step: Any, rows: int = ROWS, length: int = LENGTH) -> Any:
    mask = np.ones((rows, length), np.int64)
    return step.prepare({"input_ids": mask, "attention_mask": mask})


def checked(step: Any) -> str:
    result = step.self_check()
    return complaint(compare(result.reference, result.outputs, step._case.precision))


@pytest.mark.parametrize("causal", ["on", "off"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["naive", "sdpa", "sdpa_flash", "sdpa_math"])
def test_implementations_agree_with_naive_attention(
    name: str, precision: str, causal: str
) -> None:
    step = step_of(name, precision=precision, knobs={"causal": causal, "num_heads": 2})
    phased = step.run(feed_of(step))
    assert list(phased.phases_ns) == ["forward", "backward"]
    assert checked(step) == ""
    read = step.read_back()
    assert (read["attention"], read["causal"], read["precision"]) == (name, causal, precision)


@pytest.mark.parametrize("name", ["compile", "flex"])
def test_compiled_implementations_agree_with_naive_attention(name: str) -> None:
    step = step_of(name, knobs={"until": "forward", "causal": "on"})
    assert list(step.run(feed_of(step)).phases_ns) == ["forward"]
    assert checked(step) == ""


def test_a_function_of_the_user_is_measured_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch.nn.functional import scaled_dot_product_attention as right\n"
        "def wrong(query, key, value):\n"
        "    return right(query, value, key)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert checked(step_of("mine:right")) == ""
    assert "cosine" in checked(step_of("mine:wrong"))
    with pytest.raises(UsageError, match="has no function missing"):
        step_of("mine:missing")
    with pytest.raises(UsageError, match="No module named 'absent'"):
        step_of("absent:right")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def attend(q, k, v) return q", "importing theirs raised SyntaxError"),
        ("1 / 0", "importing theirs raised ZeroDivisionError: division by zero"),
        ("def attend(q): return q", "raised TypeError"),
        ("def attend(q, k, v): return q, k", "returned tuple for queries of"),
        ("def attend(q, k, v): return q[..., :3]", r"returned \[1, 1, 64, 3\] for queries of"),
    ],
)
def test_a_function_of_the_user_that_cannot_be_measured_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    (tmp_path / "theirs.py").write_text(f"{body}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(UsageError, match=message):
        step_of("theirs:attend")


@pytest.mark.parametrize("until", ["forward", "backward"])
@pytest.mark.parametrize("causal", ["on", "off"])
def test_the_closed_form_of_the_peak_is_what_the_allocator_saw(causal: str, until: str) -> None:
    step = step_of("naive", knobs={"until": until, "causal": causal}, sequence_length=512)
    feed = feed_of(step, length=512)
    step.run(feed)
    predicted = attention.peak_bytes(step._case)
    assert step.tensor_peak_bytes(feed) == pytest.approx(predicted, rel=0.01)


@pytest.mark.parametrize("until", ["forward", "backward"])
@pytest.mark.parametrize("name", ["sdpa_flash", "sdpa_math"])
def test_no_fused_kernel_takes_less_than_its_closed_form(name: str, until: str) -> None:
    """A cell that is refused would not have fitted. Kernels need scratch memory besides."""
    step = step_of(name, knobs={"until": until}, sequence_length=512)
    feed = feed_of(step, length=512)
    step.run(feed)
    assert attention.peak_bytes(step._case) <= step.tensor_peak_bytes(feed)


def test_memory_before_the_backward_pass_grows_with_the_scores_of_naive_attention() -> None:
    naive, flash = (
        step.after_phase_bytes(feed_of(step, length=256))["forward"]
        for step in (step_of("naive"), step_of("sdpa_flash"))
    )
    scores = ROWS * 256**2 * 4
    assert naive - flash == pytest.approx(scores, rel=0.02)


@pytest.mark.parametrize("until", ["forward", "backward"])
@pytest.mark.parametrize("causal", ["on", "off"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["naive", "sdpa_math"])
def test_the_closed_form_of_the_peak_is_what_the_allocator_shows(
    name: str, precision: str, causal: str, until: str
) -> None:
    knobs = {"causal": causal, "until": until, "num_heads": 2}
    step = step_of(name, precision=precision, sequence_length=512, knobs=knobs)
    feed = feed_of(step, length=512)
    step.run(feed)
    expected = attention.peak_bytes(step._case)
    assert step.tensor_peak_bytes(feed) == pytest.approx(expected, rel=0.04)


def test_compiled_code_in_16_bits_keeps_scores_in_fp32() -> None:
    step = step_of("compile", precision="bf16", sequence_length=512, knobs={"causal": "on"})
    feed = feed_of(step, length=512)
    step.run(feed)
    expected = attention.peak_bytes(step._case)
    assert 0.9 * expected < step.tensor_peak_bytes(feed) <= expected


def test_a_cell_that_cannot_fit_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "free_bytes", lambda _: 2**30)
    with pytest.raises(OutOfMemoryError, match="it was not tried") as refused:
        step_of("naive", sequence_length=65_536)
    assert "attention=sdpa" in refused.value.hint
    step_of("sdpa", sequence_length=65_536)
    with pytest.raises(OutOfMemoryError, match="attention=compile may take"):  # or much less
        step_of("compile", sequence_length=65_536)


def test_writing_the_scores_bounds_naive_attention() -> None:
    naive, flash = step_of("naive"), step_of("sdpa")
    feed = feed_of(naive, length=512)
    least = naive.least_call_s(feed)
    assert least.traffic == "writing one tensor of scores of 2.0 MiB"
    assert least.seconds > 0
    assert flash.least_call_s(feed).traffic == "writing one output of 0.1 MiB"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("naive", {"precision": "int8"}, "attention has no int8"),
        ("naive", {"knobs": {"until": "optimizer"}}, "has no optimizer"),
        ("naive", {"knobs": {"num_heads": 3}}, "3 heads cannot share d_model=16"),
        ("flex", {}, "no backward pass on CPUs"),
    ],
)
def test_settings_that_do_not_exist_are_refused(
    name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsupportedError, match=message) as refused:
        step_of(name, **changes)
    assert refused.value.hint


def test_a_kernel_that_this_device_lacks_is_refused() -> None:
    step = step_of("sdpa_efficient")
    with pytest.raises(UnsupportedError, match="no sdpa_efficient kernel"):
        step.run(feed_of(step))
