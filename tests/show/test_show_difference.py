"""Two records side by side: every cause that differs is named, and nothing else."""

from __future__ import annotations

import io
from dataclasses import replace

from records import MACHINE, make_record
from rich.console import Console

from honed.show.difference import difference_table, differences


def text_of(a, b, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(difference_table(a, b))
    return console.file.getvalue()


def test_settings_versions_and_machine_are_named_with_both_values():
    a = make_record({"backend": "torch", "batch_size": 1})
    machine = {**MACHINE, "kernel": "6.2.0", "packages": {"torch": "2.12.0"}}
    b = replace(make_record({"backend": "torch", "batch_size": 8}), machine=machine)
    found = {(d.section, d.name): (d.a, d.b) for d in differences(a, b)}
    assert found["settings", "batch_size"] == (1, 8)
    assert found["versions", "torch"] == ("2.13.0", "2.12.0")
    assert found["versions", "onnxruntime"] == ("1.22.0", None)
    assert found["machine", "kernel"] == ("6.1.0", "6.2.0")
    assert ("settings", "backend") not in found
    assert ("machine", "cpu") not in found


def test_a_measure_has_the_ratio_of_b_to_a():
    a, b = make_record(p50_s=0.050), make_record(p50_s=0.100)
    (latency,) = [d for d in differences(a, b) if d.name == "p50 ms (95 %)"]
    assert latency.ratio is not None
    assert 1.9 < latency.ratio < 2.1
    assert latency.to_json()["ratio"] == latency.ratio


def test_equal_causes_are_said_in_a_sentence():
    a, b = make_record(seed=1), make_record(seed=2)
    assert "only the results differ" in text_of(a, b)
    assert "only the results differ" not in text_of(a, make_record({"batch_size": 4}))


def test_a_setting_that_took_effect_as_asked_is_told_once():
    a = replace(make_record(), case={"precision": "fp32"}, effective=({"precision": "fp32"},))
    b = replace(make_record(), case={"precision": "int8"}, effective=({"precision": "int8"},))
    assert [d.section for d in differences(a, b) if d.name == "precision"] == ["settings"]
    c = replace(b, effective=({"precision": "int8"}, {"precision": "fp32"}))
    told = [(d.section, d.b) for d in differences(a, c) if d.name == "precision"]
    assert told == [("settings", "int8"), ("in effect", ["int8", "fp32"])]


def test_a_narrow_terminal_cuts_no_value():
    a, b = make_record({"batch_size": 1}), make_record({"batch_size": 1024})
    assert "1024" in text_of(a, b, width=40)
