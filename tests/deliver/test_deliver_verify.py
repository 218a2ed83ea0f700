"""The check finds each promise that is broken, and alarms at nothing else."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from delivered_folder import SETTINGS, delivered_folder, promises, save_settings
from scipy import stats

from honed.deliver import write
from honed.deliver.standalone import verify


def broken(folder: Path) -> dict[str, str]:
    found = promises(folder).values()
    return {p.name: p.message for p in found if p.verdict == verify.BROKEN}


def test_an_untouched_folder_keeps_every_promise(tmp_path: Path) -> None:
    folder = delivered_folder(tmp_path / "deployed")
    found = promises(folder)
    assert [*found] == ["files", "packages", "outputs", "engine settings", "speed"]
    assert {p.verdict for p in found.values()} == {verify.HOLDS}
    assert verify.main([str(folder), "--json"]) == 0


def test_a_changed_byte_of_the_weights_is_found_in_the_files_and_in_the_outputs(
    tmp_path: Path,
) -> None:
    folder = delivered_folder(tmp_path / "deployed")
    path = folder / "model" / "weights.npy"
    weights = np.load(path)
    weights[3, 1] += 1.0
    np.save(path, weights)
    found = broken(folder)
    assert "model/weights.npy" in found["files"]
    assert "promised at least 0.999999" in found["outputs"]
    assert verify.main([str(folder)]) == 1


@pytest.mark.parametrize("factor", [1.01, 2.0])
def test_outputs_of_another_scale_are_found_though_their_direction_is_right(
    tmp_path: Path, factor: float
) -> None:
    folder = delivered_folder(tmp_path / "deployed")
    path = folder / "model" / "weights.npy"
    np.save(path, np.load(path) * np.float32(factor))
    message = broken(folder)["outputs"]
    assert f"differ by up to {(factor - 1):.2%} of the largest value" in message
    assert "promised at most 0.28%" in message


def test_the_scores_of_a_reranker_are_compared_together(tmp_path: Path) -> None:
    """A single number has no direction: each score for itself would always have a cosine of 1."""
    wanted = np.array([[0.2], [-1.3], [4.0]], np.float32)
    assert verify._least_cosine(wanted, wanted) == pytest.approx(1)
    assert verify._least_cosine(wanted, wanted[::-1]) < 0.5
    assert verify._least_cosine(wanted, wanted * [[1], [1], [1.5]]) < verify.LEAST_COSINE


def test_a_missing_file_is_named_and_the_outputs_say_why_they_are_missing(tmp_path: Path) -> None:
    folder = delivered_folder(tmp_path / "deployed")
    (folder / "model" / "weights.npy").unlink()
    found = broken(folder)
    assert "model/weights.npy" in found["files"]
    assert "weights.npy" in found["outputs"]


def test_another_setting_than_promised_is_named(tmp_path: Path) -> None:
    engine = {**SETTINGS["engine"], "threads": 7}
    found = broken(delivered_folder(tmp_path / "deployed", engine=engine))
    assert found == {"engine settings": "threads=7 (promised 2)"}


def test_another_number_of_busy_threads_than_promised_is_found(tmp_path: Path) -> None:
    folder = delivered_folder(tmp_path / "deployed", threads=1, busy_threads=4)
    assert "promised 4" in broken(folder)["threads"]


def test_fewer_cpus_than_threads_are_found(tmp_path: Path) -> None:
    folder = delivered_folder(tmp_path / "deployed", threads=10_000, busy_threads=1)
    assert "CPUs" in broken(folder)["threads"]


def test_a_library_that_is_not_preloaded_is_named(tmp_path: Path) -> None:
    folder = delivered_folder(tmp_path / "deployed", preload=["libjemalloc.so.2"])
    assert broken(folder) == {"preload": "not loaded: libjemalloc.so.2"}


def test_a_preloaded_library_is_seen(tmp_path: Path) -> None:
    preload = {"preload": ["libjemalloc.so.2"], "environment": {"LD_PRELOAD": "libjemalloc.so.2"}}
    folder = delivered_folder(tmp_path / "deployed", **preload)
    assert promises(folder)["preload"].verdict == verify.HOLDS


def test_another_version_of_a_package_is_named(tmp_path: Path) -> None:
    packages = {"numpy": "0.1", "no-such-engine": "1.0"}
    message = broken(delivered_folder(tmp_path / "deployed", packages=packages))["packages"]
    assert "(exported with 0.1)" in message
    assert "no-such-engine not installed" in message
    assert "pip install no-such-engine==1.0, or PYTHON=INTERPRETER ./verify" in message


def answers(monkeypatch: pytest.MonkeyPatch, ratios: list[float]) -> None:
    """Each round's plain process is slower by the next ratio."""
    rounds = {"plain": iter(ratios), "tuned": iter([1.0] * len(ratios))}

    def ask(_folder: Path, _settings: Any, role: str) -> dict[str, Any]:
        return {"median_s": next(rounds[role])}

    monkeypatch.setattr(verify, "ask", ask)


GAIN = {"value": 2.0, "low": 1.9, "high": 2.1}


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([2.0, 2.05, 1.95, 2.0, 2.0], verify.HOLDS),
        ([1.2, 1.25, 1.2, 1.22, 1.21], verify.BROKEN),
        ([1.0, 3.0, 1.2, 2.2, 1.4], verify.UNDECIDED),
    ],
)
def test_the_speed_is_judged_by_the_interval_of_rounds_in_turns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ratios: list[float], verdict: str
) -> None:
    answers(monkeypatch, ratios)
    settings = {**SETTINGS, "gain": GAIN}
    promise = verify.check_speed(tmp_path, settings, len(ratios))
    assert promise.verdict == verdict
    assert "promised 2.00" in promise.message


def test_the_gain_is_the_geometric_mean_over_rounds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers(monkeypatch, [2.0, 8.0])
    gain = verify.measure_gain(tmp_path, SETTINGS, 2)
    assert gain is not None
    assert math.isclose(gain.value, 4.0)
    assert gain.low < 2.0 < 8.0 < gain.high


@pytest.mark.parametrize("rounds", [2, 15, 16, 17, 45, 500])
def test_the_interval_of_many_rounds_is_that_of_student(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rounds: int
) -> None:
    ratios = [2.0 * 1.1 ** (index % 3) for index in range(rounds)]
    answers(monkeypatch, ratios)
    gain = verify.measure_gain(tmp_path, SETTINGS, rounds)
    assert gain is not None
    logs = [math.log(ratio) for ratio in ratios]
    half = stats.t.ppf(0.975, rounds - 1) * stats.sem(logs)
    assert 0.999 <= (math.log(gain.high) - np.mean(logs)) / half <= 1.01


def test_the_script_needs_no_honed_and_its_exit_code_tells(tmp_path: Path) -> None:
    folder = delivered_folder(tmp_path / "deployed")
    words = [str(folder / "verify"), "--json", "--rounds", "1"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {p["verdict"] for p in json.loads(done.stdout)} == {verify.HOLDS}
    save_settings(folder, {**SETTINGS, "in_force": {"threads": "3"}})
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    source = (folder / "verify.py").read_text() + (folder / "load.py").read_text()
    assert "import honed" not in source
    assert "from honed" not in source


VERSIONED = """
import fakeengine
import numpy as np

class Engine:
    def __init__(self, folder, settings):
        self._weights = np.load(folder / "weights.npy")

    def __call__(self, batch):
        return {"embedding": fakeengine.pool(self._weights[batch["input_ids"]])}

    def in_force(self):
        return {}
"""


def install(folder: Path, version: str, pool: str) -> None:
    """The package `fakeengine`, which pools in its own way in each version."""
    about = folder / "fakeengine-1.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: fakeengine\nVersion: {version}\n"
    )
    (folder / "fakeengine.py").write_text(f"def pool(tokens):\n    return {pool}\n")


def test_a_version_of_the_engine_with_other_outputs_is_found(tmp_path: Path) -> None:
    folder, site = tmp_path / "deployed", tmp_path / "site"
    delivered_folder(folder, packages={"fakeengine": "1.0"}, in_force={})
    (folder / "engine.py").write_text(VERSIONED)
    write.write_checksums(folder)
    verdicts = []
    for version, pool in (("1.0", "tokens.mean(axis=1)"), ("2.0", "tokens.max(axis=1)")):
        install(site, version, pool)
        words = [sys.executable, str(folder / "verify.py"), "--json", "--rounds", "1"]
        environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        found = {p["name"] for p in json.loads(done.stdout) if p["verdict"] == verify.BROKEN}
        verdicts.append((done.returncode, found))
    assert verdicts == [(0, set()), (1, {"packages", "outputs"})]


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((verify.HOLDS, verify.HOLDS), 0),
        ((verify.HOLDS, verify.UNDECIDED), 3),
        ((verify.UNDECIDED, verify.BROKEN), 1),
    ],
)
def test_the_exit_code_tells_the_worst_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verdicts: tuple[str, ...], code: int
) -> None:
    promises = [verify.Promise(f"{place}", verdict, "") for place, verdict in enumerate(verdicts)]
    monkeypatch.setattr(verify, "verify", lambda _folder, _rounds: iter(promises))
    assert verify.main([str(tmp_path)]) == code


@pytest.mark.parametrize(("second", "verdict"), [(2, verify.HOLDS), (1, verify.BROKEN)])
def test_threads_that_were_kept_from_computing_are_counted_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, second: int, verdict: str
) -> None:
    folder = delivered_folder(tmp_path / "deployed", threads=1, busy_threads=2, in_force={})
    answer = {"cosine_min": 1.0, "relative_diff": 0.0, "cpus": 2, "preloaded": [], "in_force": {}}
    answers = iter([{**answer, "busy_threads": 1}, {**answer, "busy_threads": second}])
    monkeypatch.setattr(verify, "ask", lambda *_: next(answers))
    assert promises(folder)["threads"].verdict == verdict


def test_without_a_round_a_promised_gain_is_undecided(tmp_path: Path) -> None:
    folder = delivered_folder(tmp_path / "deployed", gain=GAIN)
    assert promises(folder, rounds=0)["speed"].verdict == verify.UNDECIDED


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ([1.0], "(one round has no interval), promised 2.00 (at least 1.90); --rounds 15 on an"),
        ([1.0, 3.0, 1.2, 2.2, 1.4, 1.3], "; --rounds 18 on an idle machine may decide"),
    ],
)
def test_an_undecided_speed_says_what_may_decide_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ratios: list[float], said: str
) -> None:
    answers(monkeypatch, ratios)
    promise = verify.check_speed(tmp_path, {**SETTINGS, "gain": GAIN}, len(ratios))
    assert promise.verdict == verify.UNDECIDED
    assert said in promise.message


def test_a_gain_above_the_lower_end_of_the_promise_holds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers(monkeypatch, [1.04, 1.02, 1.0, 1.03, 1.01])
    settings = {**SETTINGS, "gain": {"value": 1.12, "low": 1.02, "high": 1.23}}
    assert verify.check_speed(tmp_path, settings, 5).verdict == verify.HOLDS


def test_huge_pages_that_a_process_sets_for_itself_are_read_from_the_kernel(
    tmp_path: Path,
) -> None:
    in_force = {"threads": "2", "thp_disabled": "1"}
    folder = delivered_folder(tmp_path / "kept", in_process={"thp": "never"}, in_force=in_force)
    assert promises(folder)["engine settings"].verdict == verify.HOLDS
    folder = delivered_folder(tmp_path / "broken", in_process={}, in_force=in_force)
    assert broken(folder) == {"engine settings": "thp_disabled=None (promised 1)"}


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"engine": {}}'])
def test_settings_that_cannot_be_read_are_a_broken_promise(tmp_path: Path, content: str) -> None:
    folder = delivered_folder(tmp_path / "deployed")
    (folder / "settings.json").write_text(content)
    found = broken(folder)
    assert found["files"] == "changed or missing: settings.json"
    assert "cannot be read" in found["settings"]


def test_missing_checksums_are_a_broken_promise(tmp_path: Path) -> None:
    folder = delivered_folder(tmp_path / "deployed")
    (folder / "checksums.sha256").unlink()
    assert broken(folder) == {"files": "checksums.sha256 is missing"}
