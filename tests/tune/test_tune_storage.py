"""Storage: nothing lost to SIGKILL but the running trial; several processes, one measurement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import postgres
import pytest
import sqlalchemy as sa
from landscape import Landscape, find, latency_s, question, space, stored

from honed.errors import UsageError
from honed.run.machine_lock import alone
from honed.store import open_store
from honed.study import Outcome
from honed.tune import storage

TESTS = Path(__file__).parent

_SEARCH = """
import sys, time
from landscape import Landscape, find, latency_s
from honed.store import open_store
from honed.study import Outcome
from honed.tune import storage
from honed.run.machine_lock import alone

class Slow(Landscape):
    def __init__(self, url):
        super().__init__(latency_s)
        self.url = url

    def alone(self):
        return alone(self.url)

    def measure(self, case, sweep, on_phase):
        began = time.monotonic_ns()
        time.sleep(0.15)
        record = super().measure(case, sweep, on_phase)
        print(began, time.monotonic_ns(), flush=True)
        return record

url = open_store(sys.argv[1]).url
find(storage.load(url, "test"), Slow(url))
"""


def child(url: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", _SEARCH, url], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def create(url: str) -> storage.Study:
    asked = question("trials=14", "sampler=random")
    return storage.create(open_store(url).url, asked, space(asked))


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else measures on this machine does not hold these tests up."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


def test_a_kill_loses_the_running_trial_only(tmp_path: Path) -> None:
    url = str(tmp_path / "records.db")
    create(url)
    process = child(url)
    assert process.stdout is not None
    ended = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = storage.load(open_store(url).url, "test")
    statuses = [t.status for t in left.trials()]
    assert len(ended) == 4
    assert statuses.count("ok") >= 3  # the fourth was perhaps not yet written
    assert find(left, Landscape(latency_s)).ended == "trials"
    after = left.trials()
    assert "running" not in [t.status for t in after]
    assert [t.status for t in after].count("interrupted") <= 1
    assert [t.record for t in after[: statuses.count("ok")]] == [
        t.record for t in left.trials()[: statuses.count("ok")]
    ]


def test_a_trial_begins_in_one_transaction_with_its_process(tmp_path: Path) -> None:
    """A row without its process would look to another process like a killed process's trial."""
    url = str(tmp_path / "records.db")
    study = create(url)
    transactions: list[list[str]] = [[]]

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        transactions[-1].append(statement)

    def close(_connection: object) -> None:
        transactions.append([])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    sa.event.listen(sa.Engine, "commit", close)
    try:
        trial = study.begin(study.space.default, "random")
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
        sa.event.remove(sa.Engine, "commit", close)
    (writing,) = [t for t in transactions if any("INSERT INTO trials " in s for s in t)]
    assert any("INSERT INTO trial_user_attributes " in s for s in writing)
    assert study.sweep_up() == 0
    assert [t.status for t in study.trials()] == ["running"] == [trial.status]


def test_two_processes_share_a_study_and_never_measure_together(server: str) -> None:
    create(server)
    both = [child(server), child(server)]
    told = [process.communicate(timeout=120)[0] for process in both]
    spans = sorted(tuple(map(int, line.split())) for out in told for line in out.splitlines())
    assert all(process.returncode == 0 for process in both)
    assert len(spans) >= 14
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    study = storage.load(open_store(server).url, "test")
    assert len(study.trials()) <= 16
    points = [t.setting for t in study.trials() if t.stage == "expert"]
    assert len(points) == len(set(points))


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    url = open_store(str(tmp_path / "records.db")).url
    hold = "import sys, time; from honed.store import open_store\n"
    hold += "from honed.run.machine_lock import alone\n"
    hold += "with alone(open_store(sys.argv[1]).url): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "records.db")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    waits: list[float] = []

    def on_wait() -> None:
        waits.append(time.monotonic())
        process.kill()

    with alone(url, on_wait):
        assert waits
    process.wait()


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    with stored(tmp_path, question()) as (_, url), pytest.raises(UsageError, match="already"):
        storage.create(url, question(), space(question()))


def test_trials_come_back_as_they_were_told(tmp_path: Path) -> None:
    with stored(tmp_path, question("limit=latency_p50_ms<=40")) as (study, url):
        trial = study.begin(study.space.default, "default")
        assert study.trials() == [trial]
        assert trial.status == "running"
        missed = {"latency_p50_ms<=40": 2.75}
        result = replace(trial, status="ok", record="r1", values=(150.0,), violations=missed)
        study.end(replace(result, elapsed_s=4.5))
        failed = study.begin(study.space.default.changed(threads=1), "sampler")
        study.end(replace(failed, status="crashed", record="r2", message="died"))
        study.store_outcome(Outcome("test", "trials", point=study.space.default))
        again = storage.load(url, "test")
    first, second = again.trials()
    assert (first.values, first.costs, first.missed, first.ok) == ((150.0,), (150.0,), 2.75, True)
    assert (first.feasible, second.ok, second.message) == (False, False, "died")
    assert again.outcome == Outcome("test", "trials", point=study.space.default)
    assert again.question == study.question
    assert again.space == study.space
    assert storage.names(url) == ["test"]
