"""What a person reads of a search for the largest batch."""

from __future__ import annotations

from dataclasses import replace

from records import make_record
from screens import in_one_line

from honed.max_batch.found import LargestBatch, Try
from honed.plain import to_plain
from honed.show.columns import measure_columns
from honed.show.max_batch import line_of_try, max_batch_details
from honed.show.numbers import NONE

MIB = 2**20
FITS = Try(70, True, "ok", 1000 * MIB, 990 * MIB, "", "r1")
FAILS = Try(73, False, "oom", None, 1030 * MIB, "the kernel killed the worker for memory", "r2")
ALONE = Try(1, True, "ok", 300 * MIB, None, "", "r0")
FOUND = LargestBatch(
    70, 73, 1024 * MIB, "a memory control group", 71, "traced", ALONE, (FAILS, FITS)
)  # fmt: skip


def test_the_answer_the_prediction_and_every_try() -> None:
    text = in_one_line(max_batch_details(FOUND))
    assert "largest batch 70 in 1,024 MiB, held by a memory control group; 73 does not" in text
    assert "sizes between the two were not tried" in text
    assert "predicted: 71, by plan's trace" in text
    assert f"70 990 1,000 yes 73 1,030 {NONE} no the kernel killed" in text
    assert "one sequence without the limit took 300 MiB" in text
    exact = in_one_line(max_batch_details(replace(FOUND, too_large=71)))
    assert "not tried" not in exact


def test_nothing_fits_and_nothing_was_predicted() -> None:
    none = replace(FOUND, batch_size=0, too_large=1, predicted=None, predicted_from="", tries=())
    text = in_one_line(max_batch_details(none))
    assert "not even one sequence fits in 1,024 MiB" in text
    assert "plan does not know" in text


def test_a_try_is_a_line_as_it_ends() -> None:
    assert line_of_try(FITS) == "batch size 70 fits: 1,000 MiB, 990 predicted"
    assert line_of_try(FAILS) == (
        "batch size 73 does not fit, 1,030 predicted: the kernel killed the worker for memory"
    )


def test_tables_have_a_column_where_a_record_is_of_a_search() -> None:
    plain, searched = make_record(), make_record(passes={"max_batch": to_plain(FOUND)})
    (column,) = [c for c in measure_columns([plain, searched]) if c.name == "max_batch"]
    assert [cell.text for cell in column.cells([plain, searched])] == [NONE, "70"]
    assert all(c.name != "max_batch" for c in measure_columns([plain]))
