import csv
import io
import json
import sys

import pyarrow.parquet
import pytest
from records import failed_record, make_record, sweep_records

from honed.case import CORE_KEYS
from honed.errors import StoreError, UnsupportedError, UsageError
from honed.export import columns, export, flatten
from honed.record import Record


def csv_rows(records):
    stream = io.StringIO()
    export(records, "csv", stream)
    return list(csv.DictReader(io.StringIO(stream.getvalue())))


def test_jsonl_is_the_whole_record(tmp_path):
    records = sweep_records()
    export(records, "jsonl", tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [Record.from_json(json.loads(line)).to_json() for line in lines] == [
        r.to_json() for r in records
    ]


def test_flat_names():
    record = make_record({"torch.mode": "compile"})
    row = flatten(record)
    latency = record.metrics.latency_s
    assert row["case.model"] == "bert-base-uncased"
    assert row["case.torch.mode"] == "compile"
    assert row["metrics.latency_s.p50"] == latency.p50
    assert row["metrics.latency_s.ci95_low"] == latency.ci95[0]
    assert row["metrics.latency_s.p90_ci95_high"] == latency.p90_ci95[1]
    assert row["metrics.throughput_per_s.value"] == record.metrics.throughput_per_s.value
    assert row["metrics.throughput_per_s.ci95_high"] == record.metrics.throughput_per_s.ci95[1]
    assert row["memory.rss_peak_bytes"] == record.memory.rss_peak_bytes
    assert row["machine.limits.memory_bytes"] == 16 * 2**30
    assert json.loads(row["machine.flags"])[0] == "avx2"
    assert json.loads(row["inputs.length_histogram"]) == {"128": 1}
    assert json.loads(row["effective"])[0]["threads"] == 8
    assert not any(name.startswith("samples") for name in row)
    assert not any(isinstance(v, dict | list | tuple) for v in row.values())


def test_the_contract_s_columns_are_there_whatever_the_records():
    full, failed, none = (
        tuple(columns(r)) for r in ([make_record()], [failed_record("oom", "x")], [])
    )
    assert full[: len(none)] == failed[: len(none)] == none
    for name in ("id", "error.hint", "metrics.latency_s.p99", "fidelity.cosine_min", "doubts"):
        assert name in none
    assert all(f"case.{key}" in none for key in CORE_KEYS)
    assert "metrics" not in none
    assert "samples" not in none


def test_every_cell_has_a_column():
    for record in sweep_records():
        named = {k for k, v in flatten(record).items() if v is not None}
        assert named <= set(columns([record]))


def test_csv_of_unlike_records():
    rows = csv_rows(sweep_records())
    assert len(rows) == 8
    assert rows[2]["case.torch.mode"] == "compile"
    assert rows[0]["case.torch.mode"] == ""
    assert float(rows[0]["metrics.latency_s.p50"]) == pytest.approx(0.119, abs=0.002)
    assert rows[1]["metrics.latency_s.p99"] == ""
    assert rows[0]["case.memory"] == "true"
    assert rows[7]["status"] == "oom"
    assert rows[7]["error.hint"] == "use a smaller batch_size"
    assert rows[3]["doubts"].startswith("load: other programs")


def test_csv_keeps_commas_quotes_and_lines():
    message = 'a, "b"\nc'
    assert csv_rows([failed_record("crashed", message)])[0]["error.message"] == message


def test_parquet_is_typed(tmp_path):
    export(sweep_records(), "parquet", tmp_path / "out.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    types = {f.name: str(f.type) for f in table.schema}
    assert types["metrics.latency_s.p50"] == "double"
    assert types["case.batch_size"] == "int64"
    assert types["case.threads"] == "int64"
    assert types["case.memory"] == "bool"
    assert types["case.torch.mode"] == "string"
    assert types["fidelity.relative_diff"] == "double"
    assert table.column("metrics.latency_s.p99").null_count > 0
    assert table.column("case.batch_size").to_pylist() == [1, 8, 1, 8, 1, 8, 1, 512]


def test_parquet_columns_without_a_value_keep_their_type():
    stream = io.BytesIO()
    export([failed_record("oom", "x")], "parquet", stream)
    schema = pyarrow.parquet.read_table(io.BytesIO(stream.getvalue())).schema
    assert str(schema.field("metrics.latency_s.p50").type) == "double"
    assert str(schema.field("memory.rss_peak_bytes").type) == "int64"


def test_knobs_of_mixed_kind_become_words():
    records = [make_record({"torch.x": v}, seed=i) for i, v in enumerate((True, "auto", 3))]
    stream = io.BytesIO()
    export(records, "parquet", stream)
    table = pyarrow.parquet.read_table(io.BytesIO(stream.getvalue()))
    assert table.column("case.torch.x").to_pylist() == ["true", "auto", "3"]


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_no_records(tmp_path, format):
    export([], format, tmp_path / "out")
    assert (tmp_path / "out").is_file()


def test_streams_of_bytes_and_text():
    binary, text = io.BytesIO(), io.StringIO()
    export([make_record()], "jsonl", binary)
    export([make_record()], "jsonl", text)
    assert binary.getvalue().decode() == text.getvalue()
    with pytest.raises(UsageError, match="binary"):
        export([], "parquet", io.StringIO())


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(UsageError) as caught:
        export([], "parket", io.BytesIO())
    assert "did you mean parquet" in caught.value.hint


def test_missing_pyarrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnsupportedError) as caught:
        export([make_record()], "parquet", io.BytesIO())
    assert caught.value.hint == "pip install 'honed[parquet]'"


def test_a_fault_leaves_the_older_file_alone(tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    out.write_text("older")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StoreError, match="No space left"):
        export([make_record()], "csv", out)
    assert out.read_text() == "older"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_a_path_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        export([], "csv", tmp_path / "file" / "out.csv")
    with pytest.raises(StoreError, match="No space left"):
        export([make_record()], "csv", "/dev/full")


def test_pandas_reads_the_parquet(tmp_path):
    import pandas

    records = sweep_records()
    export(records, "parquet", tmp_path / "out.parquet")
    frame = pandas.read_parquet(tmp_path / "out.parquet")
    assert len(frame) == len(records)
    good = frame[frame["status"] == "ok"].set_index("case.precision")
    p50_s = records[2].metrics.latency_s.p50
    assert good.loc["bf16", "metrics.latency_s.p50"].min() == pytest.approx(p50_s)
    assert frame["case.batch_size"].sum() == sum(r.case["batch_size"] for r in records)
    assert frame["metrics.latency_s.p99"].isna().any()
    medians = frame.groupby("case.backend")["metrics.throughput_per_s.value"].median()
    assert set(medians.index) == {"torch", "onnxruntime"}
