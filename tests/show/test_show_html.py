"""HTML for notebooks: well formed, complete, and safe for whatever a record says."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser
from typing import Any

import pytest
from comparisons import comparison
from records import failed_record, make_record
from reports import everything, study

from honed.experiment.draw import Failure
from honed.record import Doubt, Interval
from honed.show.html import html
from honed.stored import Records

_VOID = {"line", "circle"}


class Reader(HTMLParser):
    """The text of a fragment, and its open elements, which must close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open[-1] != "style":
            self.text += f"{data} "


def read(of: Any) -> Reader:
    reader = Reader()
    reader.feed(of._repr_html_())
    assert reader.open == []
    return reader


def test_a_record_shows_its_measures_settings_and_doubts() -> None:
    record = make_record(doubts=(Doubt("load", "others used 20 %"),))
    text = read(record).text
    for part in ("bert-base-uncased torch fp32", "ok", record.id, "52.4", "others used 20 %",
                 "settings, memory, machine", "weights", "Example CPU"):  # fmt: skip
        assert part in text


def test_a_failure_shows_why_and_what_to_do_and_cannot_break_the_page() -> None:
    nasty = "<script>alert(1)</script> & 'more'"
    reader = read(failed_record("oom", nasty, "use a <b>smaller</b> batch_size"))
    assert "script" not in reader.seen
    assert nasty in reader.text
    assert "→ use a <b>smaller</b> batch_size" in reader.text


def test_records_are_rows_with_their_status_and_reasons_once() -> None:
    records = everything()
    reader = read(Records(records))
    assert reader.seen.count("tr") == len(records) + 1
    assert reader.text.count("killed at 16 GiB") == 1
    assert all(record.id[:8] in reader.text for record in records)
    assert "no records" in read(Records()).text


def test_a_comparison_shows_verdict_interval_and_its_drawing() -> None:
    reader = read(comparison())
    for part in ("B is faster than A by 50.0 %", "0.500 (0.480 to 0.520)", "backend=a|b",
                 "others used 20 %", "42 s"):  # fmt: skip
        assert part in reader.text
    assert reader.seen.count("svg") == 1
    failure = Failure("B", "oom", "killed", "", None)
    failed = dataclasses.replace(comparison(), contrasts=(), failure=failure)
    assert "no verdict: a trial of B is oom: killed" in read(failed).text


def test_a_study_shows_gain_steps_and_its_best_settings() -> None:
    facts = study(everything())
    reader = read(facts)
    assert facts.outcome is not None
    for part in ("4.81x (4.62 to 5.01)", "backend+precision", "all steps", "threads=2 1.01x",
                 "sequences/s"):  # fmt: skip
        assert part in reader.text
    outcome = read(facts.outcome).text
    assert "4.81x (4.62 to 5.01)" in outcome
    assert "setting:" in outcome
    unfinished = dataclasses.replace(facts, outcome=None, headline="")
    assert "has not ended" in read(unfinished).text


def test_an_outcome_without_a_proven_gain_says_so() -> None:
    outcome = study(everything()).outcome
    assert outcome is not None
    same = dataclasses.replace(outcome, gain=Interval(1.0), steps=())
    assert "nothing was found that is surely better" in read(same).text
    by_trials = dataclasses.replace(outcome, gain=Interval(5.7))
    assert "5.70x better than the default, by one trial each" in read(by_trials).text
    none = dataclasses.replace(outcome, point=None, steps=(), dropped=())
    assert "no setting gave a result" in read(none).text


def test_other_data_has_no_form() -> None:
    with pytest.raises(TypeError, match="int"):
        html(3)
