"""Stored records as a sequence."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import make_record, sweep_records

import honed
from honed.errors import StoreError
from honed.store import open_store
from honed.stored import Records


def test_records_of_the_store_that_meet_conditions(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    with open_store(url) as store:
        for record in sweep_records():
            store.append(record)
    found = honed.records("backend=onnxruntime", "batch_size=8", store=url)
    assert isinstance(found, Records)
    assert [record.case["precision"] for record in found] == ["int8"]
    assert len(honed.records(newest=3, store=url)) == 3
    assert len(honed.records(newest=None, store=url)) == len(sweep_records())


def test_a_store_that_is_missing_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no records"):
        honed.records(store=f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_slice_is_records_and_an_index_a_record() -> None:
    first, second = make_record(seed=1), make_record(seed=2)
    both = Records([first, second])
    assert both[0] is first
    assert list(both[1:]) == [second]
    assert isinstance(both[:1], Records)
    assert repr(both) == f"Records({first.id}, {second.id})"
