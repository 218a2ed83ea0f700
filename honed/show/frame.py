"""Records, comparisons and studies as a frame of pandas, or a table of pyarrow."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch
from typing import Any

from honed.blame.outcome import Blame
from honed.compare.outcome import Comparison
from honed.errors import NotInstalledError
from honed.export import columns, flatten
from honed.record import Interval, Record
from honed.stored import Records
from honed.study import Outcome, StudyFacts

Row = Mapping[str, Any]


def frame(of: Any) -> Any:
    """One row for each record, trial or step; TypeError for data that has no rows."""
    return _framed(list(rows_of(of)))


@singledispatch
def rows_of(of: Any) -> Iterator[Row]:
    """The rows of the frame of `of`."""
    raise TypeError(f"{type(of).__name__} has no rows for a frame")


@rows_of.register
def _(of: Record) -> Iterator[Row]:
    return _records([of])


@rows_of.register
def _(of: Records) -> Iterator[Row]:
    return _records(of)


@rows_of.register
def _(of: Comparison) -> Iterator[Row]:
    """A row for each process, with the settings in which its side differs from the others."""
    differs = {side.label: side.differs for side in of.sides}
    for trial in of.trials:
        yield {
            "side": trial.side, **differs.get(trial.side, {}), "block": trial.block,
            of.metric: trial.value, "counted": trial.counted, "status": trial.status,
            "sentinel_s": trial.sentinel_s, "record": trial.record,
        }  # fmt: skip


@rows_of.register
def _(of: Outcome) -> Iterator[Row]:
    """A row for each step from the default; those that are not recommended come last."""
    for is_kept, steps in ((True, of.steps), (False, of.dropped)):
        for step in steps:
            yield {
                "step": step.key, "value": None if step.value is None else str(step.value),
                **_interval("gain", step.gain), "measured": step.source, "recommended": is_kept,
            }  # fmt: skip


@rows_of.register
def _(of: StudyFacts) -> Iterator[Row]:
    """A row for each trial, with a column for each searched key and each objective."""
    goals = [goal.name for goal in of.goals]
    for trial in of.trials:
        values = dict.fromkeys(goals) | dict(zip(goals, trial.values, strict=False))
        yield {
            "trial": trial.number, "stage": trial.stage, "status": trial.status,
            **dict.fromkeys(of.axes), **trial.setting, **values,
            **{f"missed {limit}": share for limit, share in trial.violations.items()},
            "elapsed_s": trial.elapsed_s, "record": trial.record, "message": trial.message,
        }  # fmt: skip


@rows_of.register
def _(of: Blame) -> Iterator[Row]:
    """A row for each comparison."""
    for look in of.looks:
        yield {
            "question": look.role, "older": look.older, "newer": look.newer,
            **_interval("ratio", look.ratio), "verdict": look.verdict, "trials": look.trials,
            "elapsed_s": look.elapsed_s, "sweep": look.sweep,
        }  # fmt: skip


def _records(records: Sequence[Record]) -> Iterator[Row]:
    """The columns of `honed export --format csv`, except those that none of the records fills."""
    flat = [flatten(record) for record in records]
    filled = [name for name in columns(records) if any(row.get(name) is not None for row in flat)]
    for row in flat:
        yield {name: row.get(name) for name in filled}


def _interval(name: str, of: Interval) -> Row:
    low, high = of.ci95 or (None, None)
    return {name: of.value, f"{name}_low": low, f"{name}_high": high}


def _framed(rows: Sequence[Row]) -> Any:
    names = list(dict.fromkeys(name for row in rows for name in row))
    if importlib.util.find_spec("pandas") is not None:
        import pandas as pd

        return pd.DataFrame([dict(row) for row in rows], columns=names)
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow as pa

        return pa.table({name: _alike([row.get(name) for row in rows]) for name in names})
    raise NotInstalledError(
        "a frame needs pandas or pyarrow, and neither is installed", "pip install pandas"
    )


def _alike(values: Sequence[Any]) -> list[Any]:
    """The values of a column of pyarrow, which has one type: as text where they have several."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2 or kinds <= {int, float}:
        return list(values)
    return [None if value is None else str(value) for value in values]
