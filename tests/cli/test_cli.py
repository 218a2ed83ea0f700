"""The command as its users meet it: in a real process, with the fake engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from our_workers import our_workers

from honed.record import Record

HONED = str(Path(sys.executable).with_name("honed"))
FAKE = ["model=tiny", "backend=fake", "duration_s=0.1", "warmup_s=0.1", "sequence_length=8"]
HEAVY = {
    "torch", "transformers", "onnxruntime", "hydra", "omegaconf", "sqlalchemy", "scipy", "numpy",
    "psutil", "pyarrow", "optuna", "rich", "plotly", "matplotlib",
}  # fmt: skip


def honed(cwd: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HONED, *words], capture_output=True, text=True, cwd=cwd, env=os.environ | environment
    )


def records(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['honed', '--help']\n"
        "from honed.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in said.stdout
    assert said.stdout.splitlines()[-1] == "heavy: []"


VERBS = [
    "run", "compare", "blame", "plan", "tune", "memory", "precision", "profile", "scale", "serve",
    "suite", "show", "list", "report", "ci", "deploy", "export", "verify", "doctor", "env",
    "cache", "mcp", "skill",
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(tmp_path: Path, verb: str) -> None:
    done = honed(tmp_path, verb, "--help")
    assert done.returncode == 0
    assert f"Usage: honed {verb}" in done.stdout


def test_help_lists_the_verbs_and_a_misspelt_one_names_the_nearest(tmp_path: Path) -> None:
    listed = honed(tmp_path, "--help").stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in listed if line.strip()] == VERBS
    done = honed(tmp_path, "rum")
    assert done.returncode == 2
    assert "Did you mean 'run'?" in done.stderr


def test_a_sweep_is_announced_measured_stored_and_tabled(tmp_path: Path) -> None:
    done = honed(tmp_path, "run", *FAKE, "batch_size=1,4", "precision=fp32,int8")
    assert done.returncode == 0, done.stderr
    assert "4 cases, batch_size x precision" in done.stderr
    assert "3. batch_size=4 precision=fp32" in done.stderr
    assert "p50" in done.stdout
    assert "int8" in done.stdout
    assert (tmp_path / ".honed" / "records.db").exists()
    listed = honed(tmp_path, "list", "precision=int8", "--json")
    assert [r["case"]["batch_size"] for r in records(listed)] == [1, 4]
    assert "fake" in honed(tmp_path, "list").stdout


def test_json_is_one_record_a_line_and_nothing_else(tmp_path: Path) -> None:
    done = honed(tmp_path, "run", *FAKE, "batch_size=1,2", "fake.fail=print", "--json")
    assert done.returncode == 0
    parsed = records(done)
    assert [r["case"]["batch_size"] for r in parsed] == [1, 2]
    assert all(Record.from_json(r).to_json() == r for r in parsed)


def test_show_finds_the_newest_and_any_prefix(tmp_path: Path) -> None:
    made = records(honed(tmp_path, "run", *FAKE, "--json"))[0]
    newest = json.loads(honed(tmp_path, "show", "--json").stdout)
    assert newest == made
    assert json.loads(honed(tmp_path, "show", made["id"][:6], "--json").stdout) == made
    assert made["id"] in honed(tmp_path, "show").stdout
    missing = honed(tmp_path, "show", "zzzz")
    assert missing.returncode == 1
    assert "zzzz" in missing.stderr


def test_records_that_do_not_match_are_not_called_missing(tmp_path: Path) -> None:
    assert honed(tmp_path, "run", *FAKE).returncode == 0
    for verb in ("list", "export"):
        done = honed(tmp_path, verb, "model=other")
        assert "no record matches model=other" in done.stdout + done.stderr
    assert honed(tmp_path, "list", "--newest", "0").returncode == 2


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_export(tmp_path: Path, format: str) -> None:
    honed(tmp_path, "run", *FAKE)
    done = honed(tmp_path, "export", "--format", format, "--out", f"records.{format}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"records.{format}").stat().st_size > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "model=tiny", "bach_size=1"], "did you mean batch_size"),
        (["run", "model=tiny", "backend=fke"], "did you mean fake"),
        (["run", "model=tiny", "batch_size=0"], "use 1 or more"),
        (["run", "tiny"], "model=tiny"),
        (["run"], "model=NAME"),
        (["run", "--resume"], "no sweep to resume"),
        (["run", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["run", *FAKE, "instances=99"], "oversubscribe=true"),
        (["export", "--format", "xlsx"], "jsonl"),
        (["list", "--store", "nosuch://x"], "nosuch"),
    ],
)
def test_bad_words_teach_and_leave_no_traceback(
    tmp_path: Path, words: list[str], said: str
) -> None:
    done = honed(tmp_path, *words)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_failed_case_goes_on_and_tells(tmp_path: Path) -> None:
    done = honed(tmp_path, "run", *FAKE, "fake.fail=crash,diverge,null", "--json")
    assert done.returncode == 1
    assert [r["status"] for r in records(done)] == ["crashed", "diverged", "ok"]
    assert "crashed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["precision=fp32,fp16"], 0),  # the fake engine has no fp16
        (["precision=fp32,fp16", "--strict"], 1),
        (["precision=fp16"], 1),  # what was asked for cannot run
        (["precision=fp16", "batch_size=1,2"], 1),  # nothing was measured
        (["precision=fp32,fp16", "fake.fail=null,crash"], 1),
    ],
)
def test_a_sweep_may_ask_for_what_an_engine_does_not_have(
    tmp_path: Path, words: list[str], code: int
) -> None:
    done = honed(tmp_path, "run", *FAKE, *words)
    assert done.returncode == code, done.stderr
    assert "unsupported" in done.stdout
    if "precision=fp32,fp16" in words and "fake.fail=null,crash" not in words:
        assert "1 of 2 cases are combinations that their engine does not have" in done.stderr
        assert ("--strict makes" in done.stderr) is (code == 0)


def test_a_missing_model_is_told_with_what_to_type(tmp_path: Path) -> None:
    done = honed(tmp_path, "run", "model=./nowhere", "backend=fake")
    assert done.returncode == 1
    assert "no folder ./nowhere" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def started(tmp_path: Path) -> subprocess.Popen[str]:
    """A sweep that has finished its first case and hangs in its second."""
    process = subprocess.Popen(
        [HONED, "run", *FAKE, "fake.fail=null,hang,print", "timeout_s=6", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["status"] == "ok"
    deadline = time.monotonic() + 20
    while not our_workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_is_finished_and_resume_does_the_rest(
    tmp_path: Path, how: signal.Signals
) -> None:
    process = started(tmp_path)
    process.send_signal(how)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["status"] == "interrupted"
    assert "--resume" in err
    assert "Traceback" not in err
    assert not our_workers()
    assert len(records(honed(tmp_path, "list", "--json"))) == 2
    rest = honed(tmp_path, "run", "--resume", "--json")
    assert "1 already done" in rest.stderr
    assert [r["status"] for r in records(rest)] == ["timeout", "ok"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_libraries_print_in_a_worker_does_not_reach_the_terminal(
    tmp_path: Path, form: list[str]
) -> None:
    done = honed(tmp_path, "run", *FAKE, "fake.fail=print", *form)
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout
    assert "noisy" not in done.stdout + done.stderr


def test_a_killed_sweep_loses_only_the_running_case(tmp_path: Path) -> None:
    process = started(tmp_path)
    process.kill()
    process.communicate(timeout=20)
    deadline = time.monotonic() + 20
    while our_workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not our_workers()
    assert [r["status"] for r in records(honed(tmp_path, "list", "--json"))] == ["ok"]


def test_resume_with_the_same_words_does_only_the_rest(tmp_path: Path) -> None:
    words = ["run", *FAKE, "batch_size=1,2", "--json"]
    assert len(records(honed(tmp_path, *words))) == 2
    again = honed(tmp_path, *words, "--resume")
    assert again.returncode == 0
    assert again.stdout == ""
    assert "2 already done" in again.stderr
    assert "nothing is left to measure: honed list sweep=" in again.stderr


def test_the_cache_is_shown_and_pruned(tmp_path: Path) -> None:
    cache = {"HONED_CACHE": str(tmp_path / "cache")}
    assert honed(tmp_path, "run", *FAKE, **cache).returncode == 0
    shown = honed(tmp_path, "cache", "show", **cache)
    assert "reference" in shown.stdout
    assert "weights" in shown.stdout
    pruned = honed(tmp_path, "cache", "prune", **cache)
    assert "removed 4" in pruned.stdout


def test_keys_are_listed(tmp_path: Path) -> None:
    done = honed(tmp_path, "run", "--keys")
    assert done.returncode == 0
    for key in ("batch_size", "torch.mode", "onnxruntime.fusion"):
        assert key in done.stdout


def test_a_full_disk_loses_no_record(tmp_path: Path) -> None:
    """A store on a full file system: the record is still printed, and kept where there is room."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        url = f"sqlite:///{small}/records.db"
        sweep = [*FAKE, "batch_size=range(1,5)", "duration_s=1", "--json"]
        done = honed(tmp_path, "run", *sweep, "--store", url)
        assert len(records(done)) == 4
        assert done.returncode == 1
        assert "could not be stored" in done.stderr
        assert "Traceback" not in done.stderr
        kept = Path(done.stderr.split("they are in ")[1].split()[0])
        stored = records(honed(tmp_path, "list", "--json", "--store", url))
        assert len(kept.read_text().splitlines()) + len(stored) == 4
        kept.unlink()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_doctor_tells_what_is_here_and_how_to_get_the_rest(tmp_path: Path) -> None:
    shown = honed(tmp_path, "doctor")
    assert shown.returncode == 0, shown.stderr
    for word in ("effective:", "To mend", "Engines", "onnxruntime", "Knobs", "allocator", "thp"):
        assert word in shown.stdout
    told = json.loads(honed(tmp_path, "doctor", "--json").stdout)
    assert told["effective_cpus"] >= 1
    assert told["topology"]["cores"] >= 1
    names = [knob["name"] for knob in told["knobs"]]
    assert {"allocator", "openmp", "numa", "smt", "thp", "torch.mode"} <= set(names)
    for knob in told["knobs"]:
        assert {"name", "help", "available", "state", "why", "how"} <= set(knob)
        assert knob["available"] or (knob["why"] and knob["how"])
    assert all(engine["available"] or engine["how"] for engine in told["engines"])
    assert not (tmp_path / ".honed").exists()


def test_scale_measures_draws_and_tells(tmp_path: Path) -> None:
    done = honed(tmp_path, "scale", *FAKE, "--budget", "1s", "--json")
    assert done.returncode == 0, done.stderr
    found = {json.loads(line)["section"]: json.loads(line) for line in done.stdout.splitlines()}
    assert "split" in found or len(os.sched_getaffinity(0)) == 1
    for finding in found.values():
        assert Path(tmp_path, finding["picture"]).stat().st_size > 1000
        assert finding["sentence"]


def test_records_are_printed_as_markdown_csv_and_jsonl(tmp_path: Path) -> None:
    ran = honed(tmp_path, "run", *FAKE, "batch_size=1,4", "--format", "md")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("| backend | precision | batch_size |")
    tex = honed(tmp_path, "list", "--format", "tex")
    assert tex.stdout.startswith("\\begin{tabular}{")
    csv = honed(tmp_path, "list", "--format", "csv").stdout.splitlines()
    assert csv[0].startswith("id,created,honed,status,")
    assert len(csv) == 3
    lines = records(honed(tmp_path, "list", "--format", "jsonl"))
    assert [r["case"]["batch_size"] for r in lines] == [1, 4]
    wrong = honed(tmp_path, "list", "--format", "mdd")
    assert wrong.returncode == 2
    assert "no format is called 'mdd'" in wrong.stderr
    assert "md" in wrong.stderr.replace("mdd", "")
    twice = honed(tmp_path, "run", *FAKE, "--format", "md", "--json")
    assert twice.returncode == 2
    assert "give only one of the two" in twice.stderr


def test_two_ids_show_what_differs(tmp_path: Path) -> None:
    honed(tmp_path, "run", *FAKE, "batch_size=1,4")
    ids = [r["id"] for r in records(honed(tmp_path, "list", "--json"))]
    shown = honed(tmp_path, "show", *ids)
    assert shown.returncode == 0, shown.stderr
    assert "batch_size" in shown.stdout
    assert "precision" not in shown.stdout
    (found,) = records(honed(tmp_path, "show", *ids, "--json"))
    assert [(d["a"], d["b"]) for d in found if d["name"] == "batch_size"] == [(1, 4)]
    assert honed(tmp_path, "show", *ids, ids[0]).returncode == 2


def test_the_schema_of_config_files_is_printed(tmp_path: Path) -> None:
    schema = json.loads(honed(tmp_path, "run", "--schema").stdout)
    assert "torch.mode" in schema["properties"]


def test_what_cannot_be_delivered_or_verified_is_said(tmp_path: Path) -> None:
    (record,) = records(honed(tmp_path, "run", *FAKE, "fake.noise_percent=1", "--json"))
    refused = honed(tmp_path, "export", "--artifact", record["id"], "deployed")
    assert refused.returncode == 1
    assert "fake.noise_percent=1 is not delivered" in refused.stderr
    assert "leave fake.noise_percent out" in refused.stderr
    assert not (tmp_path / "deployed").exists()
    nameless = honed(tmp_path, "export", "--artifact", record["id"])
    assert nameless.returncode == 2
    assert "--artifact needs one new folder" in nameless.stderr
    setting = honed(tmp_path, "export", "--artifact", "model=tiny", "deployed")
    assert setting.returncode == 2
    assert "takes STUDY:best or the id of a record" in setting.stderr
    assert "honed tune model=tiny" in setting.stderr
    other = honed(tmp_path, "verify", str(tmp_path))
    assert other.returncode == 2
    assert "is not a delivered folder" in other.stderr
