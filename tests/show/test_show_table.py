import io
from dataclasses import replace

import pytest
from records import failed_record, make_record, sweep_records
from rich.console import Console
from screens import shown

from honed.record import Accuracy, Doubt, Error, Fidelity
from honed.show.columns import COLUMNS, varying
from honed.show.details import record_details
from honed.show.numbers import NONE
from honed.show.table import RecordsTable

P50, THROUGHPUT, COSINE = COLUMNS["latency"], COLUMNS["throughput"], COLUMNS["cosine_min"]


def best(column, records):
    return [cell.best for cell in column.cells(records)]


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_nothing_is_cut_off_at_any_width(width):
    text = shown(RecordsTable(sweep_records()), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for record in sweep_records():
        assert record.id[:8] in text
        assert record.status in text
    for number in ("119.11 ±0.80", "849 ±91", "22.064 ±0.086"):
        assert number in text


@pytest.mark.parametrize("width", [20, 30, 40, 50])
def test_a_very_narrow_terminal_gets_fewer_columns_and_whole_numbers(width):
    text = shown(RecordsTable(sweep_records()), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for words in ("119.11 ±0.80", "849 ±91", sweep_records()[0].id[:8], "unproven"):
        assert words in text


@pytest.mark.parametrize("width", [80, 100])
def test_narrow_terminals_keep_what_matters(width):
    text = shown(RecordsTable(sweep_records()), width)
    for words in ("p50", "p99", "seq/s", "peak", "cosine", "onnxruntime int8", "batch_size=8"):
        assert words in text
    assert "too narrow for p90 ms: honed show ID" in text


def test_a_table_without_results_is_not_too_narrow_for_any():
    failed = failed_record("unsupported", "torch has no such product", "precision=fp32")
    assert "too narrow" not in shown(RecordsTable([failed]), 60)


def test_wide_terminals_show_all_in_a_line_each():
    text = shown(RecordsTable(sweep_records()), 200)
    id = next(r.id[:8] for r in sweep_records() if r.case["precision"] == "bf16")
    line = next(row for row in text.splitlines() if row.startswith(id))
    assert line.split() == [
        *(id, "bert-base-uncased", "torch", "bf16", "1", NONE, "1", "compile"),
        *("63.33", "±0.44", "65.01", "66.16", "15.806", "±0.055", "2,023", "348", "29%"),
        *("817", "0.99981", "ok"),
    ]
    assert "too narrow" not in text


def test_what_all_rows_share_moves_to_the_heading():
    records = [make_record({"threads": n}, p50_s=0.05 / n, seed=n) for n in (1, 2)]
    assert shown(RecordsTable(records), 100).splitlines()[0].split() == [
        "bert-base-uncased",
        "torch",
        "fp32",
    ]


def test_only_keys_that_vary_have_a_column():
    records = [make_record({"threads": n}) for n in (1, 2)]
    assert varying(records) == ["threads"]
    assert varying([*records, make_record({"allocator": "jemalloc"})]) == ["threads", "allocator"]
    assert varying([make_record({"allocator": None}), make_record()]) == []


def test_missing_values_are_dashes():
    text = shown(RecordsTable([failed_record("oom", "killed"), make_record()]), 200)
    row = next(line for line in text.splitlines() if "oom" in line)
    assert row.split()[-10:] == [NONE] * 9 + ["oom"]


def test_failures_are_explained_below_with_what_to_do():
    text = shown(RecordsTable([failed_record("oom", "killed at 16 GiB", "batch_size=8")]), 100)
    assert "oom: killed at 16 GiB → batch_size=8" in text


def test_doubts_are_footnotes_said_once():
    doubt, other = Doubt("load", "others were busy"), Doubt("spread", "times spread")
    records = [
        make_record(seed=1, doubts=(doubt,)),
        make_record(seed=2, doubts=(other, doubt)),
        make_record(seed=3),
    ]
    text = shown(RecordsTable(records), 140)
    assert text.count("others were busy") == 1
    assert "¹ others were busy" in text
    assert "ok¹" in text
    assert "ok² ¹" in text


def test_markup_in_messages_is_text():
    text = shown(RecordsTable([failed_record("crashed", "[bold]no[/bold] [/x]", "[red]")]), 100)
    assert "[bold]no[/bold] [/x] → [red]" in text


def test_statuses_have_their_colours():
    statuses = {"ok": "green", "unproven": "yellow", "diverged": "red", "oom": "red"}
    console = Console(width=120, color_system="truecolor", force_terminal=True, record=True,
                      file=io.StringIO())  # fmt: skip
    console.print(RecordsTable([make_record(status=s, seed=i) for i, s in enumerate(statuses)]))
    text = console.export_text(styles=True)
    for name, code in (("ok", 32), ("unproven", 33), ("diverged", 31), ("oom", 31)):
        assert f"\x1b[{code}m{name}" in text


def test_the_best_stands_out_only_beyond_doubt():
    slow, fast = make_record(p50_s=0.1, seed=1), make_record(p50_s=0.05, seed=2)
    near = make_record(p50_s=0.0501, seed=3)
    assert best(P50, [slow, fast]) == [False, True]
    assert best(THROUGHPUT, [slow, fast]) == [False, True]
    assert best(P50, [slow, fast, near]) == [False, False, False]
    assert best(COSINE, [slow, fast]) == [False, False]


def test_only_ok_rows_can_be_the_best():
    wrong = make_record(p50_s=0.01, seed=1, status="diverged")
    slow, fast = make_record(p50_s=0.1, seed=2), make_record(p50_s=0.05, seed=3)
    assert best(P50, [wrong, slow, fast]) == [False, False, True]
    assert best(P50, [wrong, slow]) == [False, False]
    assert best(P50, [make_record(calls=3), slow]) == [False, False]


def test_ids_grow_until_they_differ():
    records = [make_record(id="aaaabbbbcc"), make_record(id="aaaabbbbcd", seed=1)]
    text = shown(RecordsTable(records), 140)
    assert "aaaabbbbcc" in text
    assert "aaaabbbbcd" in text


def test_models_are_called_by_their_own_names():
    records = [make_record({"model": m}) for m in ("/data/my-encoder/", "org/other")]
    text = shown(RecordsTable(records), 200)
    assert "my-encoder" in text
    assert "/data" not in text


def test_no_records():
    assert shown(RecordsTable([])).strip() == "no records"


def test_details_have_every_section():
    record = make_record(
        {"torch.mode": "compile", "batch_size": 4}, doubts=(Doubt("load", "busy"),)
    )
    text = shown(record_details(record))
    for words in (
        record.id, "settings", "speed", "latency", "memory", "fidelity", "machine", "doubts",
        "torch.mode", "compile", "95 % in", "rss anon peak", "█", "0.99999 (at least 0.9999)",
        "Example CPU", "load: busy", "took 14.2 s", "import 2.10 s",
    ):  # fmt: skip
        assert words in text


def test_details_mark_what_did_not_take_effect():
    effective = ({"threads": 8, "allocator": "glibc"}, {"threads": 4, "allocator": "glibc"})
    record = make_record({"threads": 4, "allocator": "glibc"}, effective=effective)
    lines = {line.split()[0]: line for line in shown(record_details(record)).splitlines() if line}
    assert "8 | 4 ≠" in lines["threads"]
    assert "≠" not in lines["allocator"]


def test_details_show_cpus_as_ranges_and_leave_out_defaults():
    record = make_record(effective=({"cpus": [0, 1, 2, 3, 6], "nodes": None},))
    text = shown(record_details(record))
    assert "0-3,6" in text
    assert "nodes" not in text
    assert "trust_remote_code" not in text


def test_details_of_a_failure():
    text = shown(record_details(failed_record("timeout", "no answer in 900 s", "raise timeout_s")))
    assert "timeout: no answer in 900 s" in text
    assert "raise timeout_s" in text
    assert "latency" not in text


def test_details_of_outputs_that_are_not_finite():
    record = make_record(
        status="diverged",
        error=Error("Diverged", "not finite"),
        fidelity=Fidelity("torch fp32", None, 0.0, None, 0.97),
    )
    assert "outputs are not finite" in shown(record_details(record))


def test_details_of_few_calls_say_so():
    assert "too few calls to tell" in shown(record_details(make_record(calls=5)))


JUDGED = Accuracy("spearman", 0.9300, 0.9123, 0.0177, (0.004, 0.031), 0.01, 60, "pairs.jsonl")


@pytest.mark.parametrize("width", [80, 140])
def test_accuracy_has_a_column_where_something_was_evaluated(width):
    judged = replace(make_record(), accuracy=JUDGED)
    text = shown(RecordsTable([judged, make_record({"precision": "int8"})]), width)
    assert "0.912 (-1.8%)" in text
    assert "accuracy" not in shown(RecordsTable([make_record()]), width)


def test_details_tell_the_accuracy_and_what_was_allowed():
    text = shown(record_details(replace(make_record(), accuracy=JUDGED)))
    assert "0.9123 (fp32 0.9300)" in text
    assert "60 examples: pairs.jsonl" in text
    assert "1.77% (at most 1.00%), 95 % in 0.40% … 3.10%" in text
    lost = replace(JUDGED, value=None, drop=None, drop_ci95=None)
    assert "not finite" in shown(record_details(replace(make_record(), accuracy=lost)))
