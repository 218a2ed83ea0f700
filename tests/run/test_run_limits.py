"""Real limits of the kernel: a memory control group that kills, and a CPU set that confines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import memory_groups
import pytest

from honed.case import Case
from honed.run.parent import measure

HONED = str(Path(sys.executable).with_name("honed"))
FAKE = ["model=tiny", "backend=fake", "duration_s=0.1", "warmup_s=0.1", "sequence_length=8"]


@pytest.fixture
def memory_group() -> Iterator[Path]:
    with memory_groups.memory_group(400 * 2**20) as group:
        if group is None:
            pytest.skip("needs the right to make a control group")
        yield group


def honed_in(group: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()));"
        f"os.execv({HONED!r}, {[HONED, *words]!r})"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd)


def test_the_kernels_memory_killer_is_told_from_a_crash(
    memory_group: Path, tmp_path: Path
) -> None:
    done = honed_in(
        memory_group, tmp_path, "run", *FAKE, f"fake.allocate_kib={2**20},null", "--json"
    )
    parsed: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["status"] for r in parsed] == ["oom", "ok"], done.stderr
    assert "killed the worker for memory" in parsed[0]["error"]["message"]
    assert "batch_size" in parsed[0]["error"]["hint"]
    assert parsed[1]["machine"]["limits"]["memory_bytes"] == 400 * 2**20


def test_instances_stay_inside_the_affinity(tmp_path: Path) -> None:
    only = min(os.sched_getaffinity(0))
    words = ["run", *FAKE, "instances=2", "threads=1", "--json"]
    refused = subprocess.run(
        ["taskset", "-c", str(only), HONED, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert refused.returncode == 2
    assert "affinity 1" in refused.stderr
    words[-1:] = ["oversubscribe=true", "--json"]
    done = subprocess.run(
        ["taskset", "-c", str(only), HONED, *words], capture_output=True, text=True, cwd=tmp_path
    )
    record = json.loads(done.stdout)
    assert record["status"] == "ok", record["error"]
    assert [e["cpus"] for e in record["effective"]] == [[only], [only]]


def test_where_no_group_can_be_made_each_process_has_a_limit_of_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("honed.machine.limits.groups", lambda *_: ())
    quick = {"sequence_length": 8, "duration_s": 0.1, "warmup_s": 0.1, "min_samples": 2}
    case = Case(model="tiny", backend="fake", memory_limit="1GiB", instances=2, threads=1,
                oversubscribe=True, **quick)  # fmt: skip
    fits = measure(case)
    assert fits.status == "ok", fits.error
    assert {e["memory_limited_by"] for e in fits.effective} == {"RLIMIT_DATA"}
    assert {e["memory_limit"] for e in fits.effective} == {"1GiB"}
    too_large = measure(case.replace(knobs={"fake.allocate_kib": 600 * 1024}))
    assert too_large.status == "oom"
