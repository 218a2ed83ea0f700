"""What a person reads of a plan, and the page of its timelines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from screens import in_one_line, shown

from honed.errors import StoreError, UsageError
from honed.plan.grid import Grid, Row
from honed.plan.prediction import MaxBatch, PeakAt, Prediction
from honed.plan.replay import Failure
from honed.plan.settings import Optimizer, Settings
from honed.plan.verify import PhasePeaks, Verification
from honed.report import memory_timeline
from honed.report.memory_timeline import predicted, write
from honed.show.plan import grid_table, plan_details, plans_table, size, verification_table
from honed.timeline import Block, MemoryKind, Span, StepPhase, Timeline

MIB, GIB = 2**20, 2**30
SETTINGS = Settings(mode="train", batch_size=8, optimizer=Optimizer(holds_gradients=True))
FAILURE = Failure(30 * MIB, 15 * GIB, "aten.addmm", "layer.23.value", StepPhase.FORWARD)
TIMELINE = Timeline(
    (
        Block(100 * MIB, MemoryKind.WEIGHTS, 0),
        Block(50 * MIB, MemoryKind.ACTIVATIONS, 1, 2, "aten.mm", "<layer>", StepPhase.FORWARD),
    ),
    3,
    (Span(StepPhase.FORWARD, 1, 3),),
)
FOUND = Prediction(
    settings=SETTINGS, model="bert", task="masked-lm", source="traced", parameters=110_000_000,
    weights_bytes=440_000_000, requested_peak_bytes=10 * GIB, allocated_peak_bytes=11 * GIB,
    reserved_peak_bytes=12 * GIB,
    by_kind={"weights": 1 * GIB, "activations": 9 * GIB, "workspace": 0},
    peak_at=PeakAt("aten.mm", "layer.1", "backward"), capacity_bytes=16 * GIB,
    context_bytes=512 * MIB, fits=True, max_batch=MaxBatch(9, 77 * MIB, FAILURE),
    phases={"forward": 9 * GIB}, timeline=TIMELINE,
)  # fmt: skip


def test_one_plan_says_what_fits_and_why_not_more() -> None:
    text = in_one_line(plan_details(FOUND))
    assert "peak 11.0 GiB of 16.0 GiB (12.0 GiB reserved" in text
    assert "512 MiB for the CUDA context, an assumption): fits" in text
    assert "largest batch 9, which leaves 77 MiB; with one sequence more, 30 MiB" in text
    assert "backward, aten.mm in layer.1" in text
    assert "activations 9.0 GiB 90%" in text
    assert "workspace" not in text  # there is none
    assert "gradients=held" in text


def test_an_estimate_is_labelled_as_one() -> None:
    guessed = dataclasses.replace(
        FOUND, source="closed form", why="bert depends on its data", fits=False, max_batch=None
    )
    text = in_one_line(plan_details(guessed))
    assert "an estimate by formulas: bert depends on its data" in text
    assert "does not fit" in text
    table = shown(plans_table([FOUND, guessed]))
    assert "11.0 GiB*" in table
    assert "* an estimate by formulas" in table


def test_a_table_has_columns_only_for_what_differs() -> None:
    other = dataclasses.replace(FOUND, settings=dataclasses.replace(SETTINGS, batch_size=16))
    table = shown(plans_table([FOUND, other]))
    heading = table.splitlines()[0]
    assert "bert" in heading
    assert "masked-lm" in heading
    assert " batch" in table
    assert "length" not in table.split(heading)[1]


def test_a_grid_and_a_verification() -> None:
    row = Row(128, (1 * GIB, 20 * GIB), MaxBatch(7, 0, FAILURE))
    text = shown(grid_table(Grid(SETTINGS, "bert", "masked-lm", 8 * GIB, (1, 64), (row,))))
    assert "8.0 GiB are usable" in text
    assert text.splitlines()[-2].split() == ["128", "1.0", "20.0", "7"]
    peaks = PhasePeaks(101 * MIB, 100 * MIB)
    found = Verification(SETTINGS, "bert", {"forward": peaks}, peaks, 202 * MIB)
    text = shown(verification_table(found))
    assert "+1.00%" in text
    assert "-50.00%" in text


def test_sizes_are_in_gib_from_one_on() -> None:
    assert [size(n) for n in (MIB, 999 * MIB, GIB)] == ["1.0 MiB", "999 MiB", "1.0 GiB"]


def test_a_page_has_the_names_of_modules_and_no_markup_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.html"
    write(predicted([FOUND, FOUND]), path)
    page = path.read_text()
    assert "aten.mm in \\u0026lt;layer" in page or "aten.mm in &lt;layer" in page
    layout = memory_timeline._figure(predicted([FOUND] * 5)).layout
    rows = [layout[f"yaxis{n}"].domain for n in ("", 2, 3, 4, 5)]
    assert [rows.index(row) for row in rows] == [0, 0, 2, 2, 4]
    without = dataclasses.replace(FOUND, timeline=None)
    for predictions in ([], [without]):
        with pytest.raises(UsageError, match="no timeline"):
            write(predicted(predictions), path)
    with pytest.raises(StoreError, match="cannot write") as unwritable:
        write(predicted([FOUND]), tmp_path)  # a folder
    assert "--timeline FILE" in unwritable.value.hint
