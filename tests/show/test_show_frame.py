"""Frames: one row for each record, trial or step, with pandas, with pyarrow, and with neither."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from comparisons import comparison
from records import make_record
from reports import everything, study

from honed.errors import NotInstalledError
from honed.show.frame import frame
from honed.stored import Records


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Hides packages from the search for installed ones."""
    find = importlib.util.find_spec

    def hide(*packages: str) -> None:
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name in packages else find(name)
        )

    return hide


def test_records_have_a_row_each_and_numbers_as_numbers() -> None:
    records = everything()
    made = Records(records).to_frame()
    assert list(made["id"]) == [record.id for record in records]
    ok = made[made["status"] == "ok"]
    assert (ok["metrics.latency_s.p50"] > 0).all()
    assert not made.isna().all().any()  # no column is empty
    one = make_record().to_frame()
    assert one.shape[0] == 1
    assert one["case.backend"][0] == "torch"


def test_a_comparison_has_a_row_for_each_process() -> None:
    made = comparison().to_frame()
    assert list(made["side"]) == ["A", "B", "B"]
    assert list(made["backend"]) == ["torch", "a|b", "a|b"]
    assert list(made["counted"]) == [True, True, False]
    assert made["latency"][1] == 0.05


def test_a_study_has_a_row_for_each_trial_and_its_outcome_one_for_each_step() -> None:
    facts = study(everything())
    made = facts.to_frame()
    assert len(made) == len(facts.trials)
    assert {"trial", "backend", "batch_size", "throughput", "latency"} <= set(made.columns)
    assert facts.outcome is not None
    steps = facts.outcome.to_frame()
    assert list(steps["step"]) == ["backend+precision", "batch_size", "threads"]
    assert list(steps["recommended"]) == [True, True, False]
    assert steps["gain_low"][0] == 3.1


def test_pyarrow_serves_where_pandas_is_missing(without: Callable[..., None]) -> None:
    without("pandas")
    for of in (Records(everything()), comparison(), study(everything())):
        made = of.to_frame()
        assert type(made).__module__.startswith("pyarrow")
        assert made.num_rows > 1


def test_without_both_the_error_names_the_command(without: Callable[..., None]) -> None:
    without("pandas", "pyarrow")
    with pytest.raises(NotInstalledError, match="pandas or pyarrow") as raised:
        make_record().to_frame()
    assert raised.value.hint == "pip install pandas"


def test_other_data_has_no_rows() -> None:
    other: Any = 3
    with pytest.raises(TypeError, match="int"):
        frame(other)
