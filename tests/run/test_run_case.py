"""One Case, end to end, in real processes, with the fake engine: success and every misfortune."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from our_workers import our_workers

from honed.case import Case
from honed.errors import UsageError
from honed.record import Record
from honed.run.parent import measure

QUICK: dict[str, Any] = {
    "model": "tiny",
    "backend": "fake",
    "duration_s": 0.2,
    "warmup_s": 0.2,
    "sequence_length": 8,
}


def run_fake(knobs: dict[str, Any] | None = None, **changes: Any) -> Record:
    return measure(Case(**{**QUICK, **changes}, knobs=knobs or {}))


def test_a_record_holds_the_whole_contract() -> None:
    record = run_fake({"fake.latency_us": 1000})
    assert record.status == "ok", record.error
    assert Record.from_json(record.to_json()) == record
    assert record.to_case().get("fake.latency_us") == 1000
    assert record.metrics is not None
    assert record.samples is not None
    (latencies_s,), (completed_s,) = record.samples.latency_s, record.samples.completed_s
    assert min(latencies_s) >= 0.001
    assert record.metrics.latency_s.p50 == pytest.approx(statistics.median(latencies_s))
    assert record.metrics.samples >= 20
    from_end_to_end_s = completed_s[-1] - completed_s[0] + latencies_s[0]
    assert record.metrics.throughput_per_s.value == pytest.approx(
        len(latencies_s) / from_end_to_end_s
    )
    assert record.metrics.tokens_per_s == pytest.approx(
        8 * (record.metrics.throughput_per_s.value or 0)
    )
    assert record.fidelity is not None
    assert record.fidelity.cosine_min == pytest.approx(1)
    assert record.machine["cpu"]
    assert record.inputs is not None
    assert record.inputs.length_histogram == {"8": record.inputs.sequences}
    assert record.elapsed_s


def test_instances_of_different_sizes_have_threads_of_their_own() -> None:
    record = run_fake({"fake.latency_us": 2000}, sizes="1+2", oversubscribe=True)
    assert record.status == "ok", record.error
    assert [each["threads"] for each in record.effective] == [1, 2]
    assert (record.case["sizes"], record.case["instances"]) == ("1+2", 2)
    assert record.samples is not None
    assert len(record.samples.latency_s) == 2


def test_memory_grows_by_what_a_call_allocates() -> None:
    quiet = run_fake().memory
    loud = run_fake({"fake.allocate_kib": 64 * 1024}).memory
    assert quiet is not None
    assert loud is not None
    assert loud.tensor_peak_bytes - quiet.tensor_peak_bytes == 64 * 2**20  # type: ignore[operator]
    grown = loud.rss_anon_peak_bytes - quiet.rss_anon_peak_bytes  # type: ignore[operator]
    assert abs(grown - 64 * 2**20) < 2 * 2**20
    assert loud.weights_bytes == quiet.weights_bytes
    assert loud.pss_total_bytes


def test_without_a_memory_pass_there_are_no_peaks() -> None:
    record = run_fake(memory=False)
    assert record.memory is not None
    assert record.memory.rss_peak_bytes is None
    assert record.memory.weights_bytes


def test_instances_sit_on_their_own_cores_and_run_together() -> None:
    record = run_fake({"fake.latency_us": 2000}, instances=2, threads=1)
    assert record.status == "ok", record.error
    cpus = [set(e["cpus"]) for e in record.effective]
    assert len(cpus) == 2
    assert not cpus[0] & cpus[1]
    assert record.samples is not None
    assert all(len(s) >= 20 for s in record.samples.latency_s)
    assert record.metrics is not None
    assert all(0 <= t <= record.metrics.window_s for s in record.samples.completed_s for t in s)


def test_more_than_the_cores_is_refused_unless_asked_for() -> None:
    with pytest.raises(UsageError) as refused:
        run_fake(instances=64, threads=8)
    assert "512" in refused.value.message
    assert "oversubscribe=true" in refused.value.hint
    record = run_fake(instances=3, threads=1, oversubscribe=True)
    assert record.status == "ok", record.error


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("raise", "crashed", "RuntimeError: the engine met a shape"),
        ("crash", "crashed", "SIGABRT"),
        ("kill", "crashed", "SIGKILL"),
        ("oom", "oom", "could not allocate"),
        ("memory-error", "oom", "10 TiB"),
        ("diverge", "diverged", "cosine"),
        ("not-finite", "diverged", "not finite"),
        ("lie", "unproven", "precision=fp32"),
        ("print", "ok", ""),
    ],
)
def test_what_goes_wrong_becomes_a_status(how: str, status: str, said: str) -> None:
    record = run_fake({"fake.fail": how})
    assert record.status == status
    assert (said in record.error.message) if record.error else not said
    assert Record.from_json(record.to_json()) == record
    assert not our_workers()


def test_one_dead_instance_ends_its_siblings() -> None:
    record = run_fake({"fake.fail": "kill"}, instances=2, threads=1)
    assert record.status == "crashed"
    assert not our_workers()


@pytest.mark.parametrize("how", ["hang", "hang-load"])
def test_a_hang_is_a_timeout(how: str) -> None:
    run_fake()  # the model and its reference are made: only the hang counts
    began = time.monotonic()
    record = run_fake({"fake.fail": how}, timeout_s=3)
    assert record.status == "timeout"
    assert record.error is not None
    assert "timeout_s=6" in record.error.hint
    assert time.monotonic() - began < 60  # the engine hangs for an hour
    assert not our_workers()


def test_an_artifact_is_built_once_in_its_own_process() -> None:
    first = run_fake({"fake.build": "ok"}, seed=11)
    again = run_fake({"fake.build": "ok"}, seed=11)
    assert first.status == again.status == "ok"
    assert first.metrics is not None
    assert again.metrics is not None
    assert first.metrics.build_s > 0
    assert again.metrics.build_s == 0


@pytest.mark.parametrize(
    ("how", "status", "said"), [("raise", "crashed", "operator"), ("kill", "oom", "SIGKILL")]
)
def test_a_failing_export_is_a_record(how: str, status: str, said: str) -> None:
    record = run_fake({"fake.build": how})
    assert record.status == status
    assert record.error is not None
    assert said in record.error.message
    assert "export" in record.error.message


def test_a_missing_model_and_a_long_sequence_are_records() -> None:
    missing = measure(Case(model="./nowhere", backend="fake"))
    assert missing.status == "unsupported"
    assert missing.error is not None
    assert "nowhere" in missing.error.message
    long = measure(Case(model="bert-base-uncased", sequence_length=513))
    assert long.error is not None
    assert "512" in long.error.message


def test_a_truncated_checkpoint_is_a_record(tmp_path: Path) -> None:
    from honed.models.tiny import write_tiny

    write_tiny(tmp_path, seed=0)
    weights = tmp_path / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - 10)
    record = measure(Case(**{**QUICK, "model": str(tmp_path)}))
    assert record.status == "unsupported"
    assert record.error is not None
    assert "model.safetensors" in record.error.message


def test_a_missing_engine_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import honed.backends.base as base

    monkeypatch.setattr(base, "find_spec", lambda _: None)
    record = measure(Case(model="tiny-bert", backend="onnxruntime"))
    assert record.status == "unsupported"
    assert record.error is not None
    assert "pip install 'honed[onnxruntime]'" in record.error.hint


def test_a_precision_the_engine_lacks_is_a_record() -> None:
    record = measure(Case(model="tiny-bert", backend="onnxruntime", precision="fp16"))
    assert record.status == "unsupported"


def test_another_interpreter_that_is_missing_is_a_record() -> None:
    record = run_fake(python="/nowhere/python")
    assert record.status == "unsupported"
    assert record.error is not None
    assert "/nowhere/python" in record.error.message


def test_workers_die_with_a_killed_parent() -> None:
    run_fake()
    code = (
        "from honed.case import Case; from honed.run.parent import measure; "
        "measure(Case(model='tiny', backend='fake', sequence_length=8,"
        " knobs={'fake.fail': 'hang'}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    deadline = time.monotonic() + 30
    while not our_workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert our_workers()
    # A worker that has not yet asked the kernel to be killed with its parent sees that it is gone.
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while our_workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not our_workers()
