"""Columns and details of records whose inputs are padded."""

from __future__ import annotations

import dataclasses
import io

import pytest
from records import failed_record, make_record
from rich.console import Console

from honed.record import InputFacts
from honed.show.columns import COLUMNS, measure_columns
from honed.show.details import record_details
from honed.show.table import RecordsTable

USEFUL, PADDING = COLUMNS["useful_tokens"], COLUMNS["padding_share"]
FACTS = InputFacts("random ids, lengths uniform(8,512)", 256, {"9-16": 4, "8": 2}, 0.424)


def padded():
    plain = make_record({"lengths": "uniform(8,512)", "sequence_length": 512})
    metrics = dataclasses.replace(plain.metrics, useful_tokens_per_s=1234.0, tokens_per_s=2142.0)
    return dataclasses.replace(plain, inputs=FACTS, metrics=metrics)


def told(record):
    console = Console(width=100, color_system=None, record=True, file=io.StringIO())
    console.print(record_details(record))
    return console.export_text()


def test_padding_has_columns_only_where_inputs_are_padded():
    plain = measure_columns([make_record(), failed_record("oom", "killed")])
    shown = measure_columns([make_record(), padded()])
    assert [c for c in shown if c not in (USEFUL, PADDING)] == list(plain)
    assert (USEFUL in shown, PADDING in shown) == (True, True)
    assert (USEFUL.read(padded()), PADDING.read(padded())) == ("1,234", "42%")
    assert PADDING.read(make_record()) == "0%"
    assert PADDING.read(failed_record("oom", "killed")) == "–"  # noqa: RUF001


@pytest.mark.parametrize(("width", "found"), [(220, ("pad-", "42%")), (90, ("useful",))])
def test_tables_of_any_width_show_the_speed_without_padding(width, found):
    console = Console(width=width, color_system=None, record=True, file=io.StringIO())
    console.print(RecordsTable([padded(), make_record()]))
    text = console.export_text()
    for words in ("1,234", *found):
        assert words in text
    assert max(map(len, text.splitlines())) <= width


def test_details_say_what_was_fed():
    text = told(padded())
    for words in ("256 sequences: random ids, lengths uniform(8,512)", "8 to 16 tokens", "42.4%"):
        assert words in text
    assert "1,234 /s" in text


@pytest.mark.parametrize("record", [make_record(), failed_record("oom", "killed")])
def test_details_of_alike_sequences_say_nothing_of_padding(record):
    text = told(record)
    assert "lengths" not in text
    assert "padding" not in text
