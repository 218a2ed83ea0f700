"""A comparison as Markdown: the verdict, a row for each side, and the doubts."""

from __future__ import annotations

from dataclasses import replace

from comparisons import comparison

from honed.experiment.draw import Failure
from honed.show.comparison import comparison_markdown


def test_the_verdict_stands_above_a_table_with_a_row_for_each_side() -> None:
    verdict, table, doubts, how = comparison_markdown(comparison()).split("\n\n")
    assert verdict.startswith("**B is faster than A by 50.0 %")
    assert [line.split(" | ")[0] for line in table.splitlines()] == [
        "| side",
        "| ---",
        "| A",
        "| B",
    ]
    assert "0.500 (0.480 to 0.520)" in table.splitlines()[3]
    assert "backend=a\\|b" in table  # a setting cannot end its cell
    assert doubts == "- doubt: others used 20 %"
    assert "42 s" in how


def test_a_failure_is_said_in_the_place_of_the_verdict() -> None:
    failure = Failure("B", "oom", "killed at 16 GiB", "", None)
    text = comparison_markdown(replace(comparison(), contrasts=(), failure=failure, doubts=()))
    assert text.startswith("**no verdict: a trial of B is oom: killed at 16 GiB**")
