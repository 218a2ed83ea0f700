"""honed serve as typed: explaining, and the Case of a record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HONED = Path(sys.executable).with_name("honed")
WORDS = ["model=tiny", "backend=fake", "sequence_length=8", "fake.latency_us=1000"]


def honed(*words: str, store: Path) -> subprocess.CompletedProcess[str]:
    command = [HONED, *words, "--store", f"sqlite:///{store}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_explain_prints_what_the_workers_can_do(tmp_path: Path) -> None:
    store = tmp_path / "records.db"
    done = honed("serve", *WORDS, "--explain", "--json", store=store)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["record"]["status"] == "ok", found["record"]["error"]
    (worker,) = found["workers"]
    assert worker["pss_bytes"] > 2**20
    assert found["classes"][-1]["tokens"] == found["longest"] == 512
    for each in found["classes"]:
        assert 0.001 <= each["alone_s"] <= each["batch_s"] * 1.01
        assert each["texts_per_s"] > 0
        assert each["batch_bytes"] is None  # the tiny model has no layers to speak of
    printed = honed("serve", *WORDS, "--explain", store=store)
    assert "tokens up to" in printed.stdout
    assert "plan: the model's configuration leaves out the sizes" in printed.stdout
    assert "not pinned" in printed.stdout
    assert done.returncode == printed.returncode == 0


def test_a_record_is_served_as_it_was_measured(tmp_path: Path) -> None:
    store = tmp_path / "records.db"
    quick = ["duration_s=0.1", "warmup_s=0.1", "min_samples=2", "memory=false"]
    run = honed("run", *WORDS, *quick, "--json", store=store)
    id = json.loads(run.stdout)["id"]
    done = honed("serve", "--from", id, "fake.latency_us=2000", "--explain", "--json", store=store)
    found = json.loads(done.stdout)
    assert found["record"]["case"]["backend"] == "fake"
    assert found["record"]["case"]["fake.latency_us"] == 2000
    assert found["classes"][0]["alone_s"] >= 0.002


def test_what_cannot_be_served_is_told(tmp_path: Path) -> None:
    store = tmp_path / "records.db"
    many = honed(
        "serve", "model=tiny", "backend=fake", "front_cores=4096", "--explain", store=store
    )
    assert many.returncode == 2
    assert "front_cores=" in many.stderr
    keys = honed("serve", "--keys", store=store)
    assert "max_wait_s" in keys.stdout
