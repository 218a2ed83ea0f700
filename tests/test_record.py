"""Records that other versions of honed stored still open and mean the same."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from honed.measures import MEASURES
from honed.record import Memory, Metrics, Record

# Stored before phases, memory by kind, goodput and passes were added to the Record.
PARTS = ("metrics", "memory", "fidelity")  # to which keys were added
OLD = json.loads((Path(__file__).parent / "record_of_version_0_1.json").read_text())


def test_a_record_without_newer_fields_opens() -> None:
    record = Record.from_json(OLD)
    assert record.status == "ok"
    assert record.to_case().batch_size == 2
    assert record.metrics is not None
    assert record.metrics.tokens_per_s == OLD["metrics"]["tokens_per_s"]
    assert record.metrics.phases is None
    assert record.memory is not None
    assert record.memory.by_kind is None
    assert record.passes is None
    assert record.fidelity is not None
    assert record.fidelity.neighbour_cosine_min is None
    assert MEASURES["neighbour_cosine_min"].value(record) is None


def test_what_an_old_record_holds_is_written_again_unchanged() -> None:
    again = Record.from_json(OLD).to_json()
    assert {key: again[key] for key in OLD if key not in PARTS} == {
        key: OLD[key] for key in OLD if key not in PARTS
    }
    for part in PARTS:
        assert {key: again[part][key] for key in OLD[part]} == OLD[part]


@pytest.mark.parametrize("part", [Metrics, Memory])
def test_newer_fields_have_defaults(part: type) -> None:
    known = OLD["metrics" if part is Metrics else "memory"]
    newer = [field for field in fields(part) if field.name not in known]
    assert newer
    assert all(field.default is None for field in newer)


def test_keys_of_a_newer_version_are_ignored() -> None:
    assert Record.from_json({**OLD, "weather": "fine"}) == Record.from_json(OLD)
