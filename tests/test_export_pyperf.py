"""pyperf reads what honed exports: the real package, from Python and as a command."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyperf
import pytest
from records import failed_record, make_record, sweep_records

from honed.errors import UsageError
from honed.export import export
from honed.record import Record


def suite(records: list[Record]) -> pyperf.BenchmarkSuite:
    stream = io.BytesIO()
    export(records, "pyperf", stream)
    return pyperf.BenchmarkSuite.loads(stream.getvalue().decode())


def test_each_record_of_a_case_is_a_run_and_each_call_a_value() -> None:
    records = [make_record({"threads": 4}, calls=n, seed=n) for n in (20, 30)]
    (benchmark,) = suite(records).get_benchmarks()
    assert benchmark.get_name() == "bert-base-uncased 1x128"
    assert [len(run.values) for run in benchmark.get_runs()] == [20, 30]
    first = records[0].samples
    assert first is not None
    assert benchmark.get_runs()[0].values == first.latency_s[0]
    assert benchmark.get_unit() == "second"


def test_every_instance_s_calls_are_its_record_s() -> None:
    record = make_record({"threads": 2, "instances": 3})
    assert record.samples is not None
    (benchmark,) = suite([record]).get_benchmarks()
    assert len(benchmark.get_values()) == sum(map(len, record.samples.latency_s))


def test_what_the_cases_of_a_file_share_is_in_no_name() -> None:
    records = [
        make_record({"backend": "onnxruntime", "batch_size": b, "torch.mode": m}, seed=i)
        for i, (b, m) in enumerate([(1, "eager"), (8, "compile")])
    ]
    names = suite(records).get_benchmark_names()
    assert names == [
        "bert-base-uncased 1x128 torch.mode=eager",
        "bert-base-uncased 8x128 torch.mode=compile",
    ]


def test_how_long_was_measured_makes_no_other_benchmark() -> None:
    records = [make_record({"duration_s": s}, seed=int(s)) for s in (1.0, 5.0)]
    (benchmark,) = suite(records).get_benchmarks()
    assert benchmark.get_nrun() == 2


def test_the_case_and_the_machine_are_metadata() -> None:
    record = make_record({"threads": 4, "inputs": "a\nb  c.txt"})
    (benchmark,) = suite([record]).get_benchmarks()
    told = benchmark.get_metadata()
    assert told["honed.record"] == record.id
    assert told["honed.threads"] == 4
    assert told["honed.memory"] == "true"
    assert told["honed.inputs"] == "a b c.txt"
    assert told["honed.cpu"] == record.machine["cpu"]
    assert record.memory is not None
    assert told["mem_max_rss"] == record.memory.rss_peak_bytes
    assert "honed.total_batch" not in told
    assert told["date"] == "2026-03-01 10:00:00"


def test_the_date_is_when_the_calls_began() -> None:
    record = make_record()
    assert record.samples is not None
    record = replace(record, samples=replace(record.samples, window_began_s=1.5e9))
    (benchmark,) = suite([record]).get_benchmarks()
    assert benchmark.get_dates()[0].isoformat() == "2017-07-14T02:40:00"


def test_only_what_is_ok_is_exported() -> None:
    records = [*sweep_records(), failed_record("oom", "x")]
    good = [r for r in records if r.ok]
    assert sum(b.get_nrun() for b in suite(records)) == len(good) < len(records)
    with pytest.raises(UsageError, match="no record that is ok"):
        suite([failed_record("oom", "x")])


def test_records_of_two_machines_may_share_a_file() -> None:
    one = make_record()
    other = make_record(seed=1, machine={**one.machine, "cpu": "Another CPU"})
    (benchmark,) = suite([one, other]).get_benchmarks()
    assert "honed.cpu" not in benchmark.get_metadata()


def compare_to(folder: Path, *files: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyperf", "compare_to", *files, "--table"],
        capture_output=True, text=True, cwd=folder, **how,
    )  # fmt: skip


def test_the_command_compares_two_settings(tmp_path: Path) -> None:
    for name, backend, p50_s in (("a.json", "torch", 0.050), ("b.json", "onnxruntime", 0.025)):
        records = [make_record({"backend": backend}, p50_s=p50_s, seed=i) for i in range(3)]
        export(records, "pyperf", tmp_path / name)
    done = compare_to(tmp_path, "a.json", "b.json")
    assert done.returncode == 0, done.stderr
    assert "bert-base-uncased 1x128" in done.stdout
    assert "2.0" in done.stdout.split("ms:")[1]
    assert "faster" in done.stdout


def test_it_can_be_dumped_and_loaded_again_by_pyperf(tmp_path: Path) -> None:
    loaded = suite(sweep_records())
    loaded.dump(str(tmp_path / "again.json"))
    again = pyperf.BenchmarkSuite.load(str(tmp_path / "again.json"))
    assert again.get_benchmark_names() == loaded.get_benchmark_names()


def test_text_streams_take_it_too() -> None:
    stream = io.StringIO()
    export([make_record()], "pyperf", stream)
    assert json.loads(stream.getvalue())["version"] == "1.0"
