"""The script of the gate on a repository with two commits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from honed.ci.write import Gate, script

BIN = str(Path(sys.executable).parent)
# Stands for honed: keeps its words, and answers as the test asks.
STUB = """#!/usr/bin/env bash
echo "$PWD: $*" >>"$LOG"
case "$1 $2" in
"env create") exit "${INSTALL_CODE:-0}" ;;
"compare"*)
    [ "$COMPARE_CODE" = 2 ] && exit 2 # a word was wrong: there is no verdict
    while [ "$1" != --markdown ]; do shift; done
    echo '**head is slower than base by 3.0 %**' >"$2"
    echo '{"verdict": "slower"}'
    exit "$COMPARE_CODE" ;;
esac
"""


def git(folder: Path, *words: str) -> str:
    who = {
        f"GIT_{role}_{of}": "t@t" for role in ("AUTHOR", "COMMITTER") for of in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        capture_output=True, text=True, check=True, env=os.environ | who,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits of one file."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for text in ("base", "head"):
        (folder / "package.py").write_text(text)
        git(folder, "add", ".")
        git(folder, "commit", "-qm", f"the {text}")
    return folder


def run(repository: Path, gate: Gate, *words: str, **variables: str) -> tuple[int, str]:
    """The exit code and the output of the script."""
    (repository / "gate.sh").write_text(script(gate))
    done = subprocess.run(
        ["bash", "gate.sh", *words],
        cwd=repository, capture_output=True, text=True, env=os.environ | variables,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def stub(tmp_path: Path) -> dict[str, str]:
    """The variables with which the script finds the stub in the place of honed."""
    folder = tmp_path / "stub"
    folder.mkdir()
    (folder / "honed").write_text(STUB)
    (folder / "honed").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}


@pytest.mark.parametrize("code", [0, 1, 3])
def test_both_commits_are_installed_compared_and_cleaned_up(
    repository: Path, stub: dict[str, str], tmp_path: Path, code: int
) -> None:
    summary = tmp_path / "summary.md"
    gate = Gate(("model=./encoder", "backend=fake"), budget="60s")
    found, said = run(
        repository, gate, "HEAD~1", "HEAD",
        COMPARE_CODE=str(code), GITHUB_STEP_SUMMARY=str(summary), **stub,
    )  # fmt: skip
    assert found == code, said
    lines = [line.partition(": ") for line in Path(stub["LOG"]).read_text().splitlines()]
    made = [words.split() for _, _, words in lines if words.startswith("env create")]
    assert [words[2] for words in made] == ["gate-base", "gate-head"]
    assert all(words[-1] == "honed[fake]" for words in made)
    ((folder, words),) = [(f, w) for f, _, w in lines if w.startswith("compare")]
    assert folder != str(repository)  # else both sides would import the working tree
    assert f"model={repository}/encoder backend=fake base: python=gate-base" in words
    assert "head: python=gate-head --resolution 2% --budget 60s --exit-code" in words
    text = summary.read_text()
    assert "head is slower than base by 3.0 %" in text
    assert f"base: `{git(repository, 'rev-parse', '--short', 'HEAD~1')}` the base" in text
    assert json.loads((repository / "honed-gate/comparison.json").read_text())
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert not any(Path(words[3]).exists() for words in made)


def test_the_verdict_of_an_earlier_run_is_never_shown_for_other_commits(
    repository: Path, stub: dict[str, str]
) -> None:
    gate = Gate(("model=tiny", "backend=fake"))
    code, said = run(repository, gate, "HEAD~1", COMPARE_CODE="1", **stub)
    assert code == 1
    assert "slower than base" in said
    code, said = run(repository, gate, "HEAD~1", COMPARE_CODE="2", **stub)
    assert code == 2
    assert "slower than base" not in said
    left = {path.name for path in (repository / "honed-gate").iterdir()}
    assert not left & {"verdict.md", "summary.md"}


def test_what_cannot_be_installed_or_is_no_commit_is_told_apart_from_slower(
    repository: Path, stub: dict[str, str]
) -> None:
    gate = Gate(("model=tiny", "backend=fake"))
    assert run(repository, gate, "HEAD~1", INSTALL_CODE="1", **stub)[0] == 2
    code, said = run(repository, gate, "nowhere", **stub)
    assert code == 2
    assert "no commit nowhere" in said
    code, said = run(repository, gate, **stub)  # this repository has no origin
    assert code == 2
    assert "name the base: bash ci/honed-gate.sh BASE HEAD" in said
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_with_the_real_honed_two_commits_that_are_alike_pass(
    repository: Path, tmp_path: Path
) -> None:
    """The engine is the fake; the environments find numpy where this test finds it."""
    import numpy

    packages = Path(numpy.__file__).parents[1]
    make = tmp_path / "make"
    make.write_text(
        "#!/usr/bin/env bash\nset -e\nfolder=$HONED_HOME/envs/$1\n"
        f"{sys.executable} -m venv --without-pip $folder\n"
        f"echo {packages} >$(echo $folder/lib/python3*/site-packages)/shared.pth\n"
        'echo \'{"created": "2026-01-01", "python": "3", "requirements": []}\' '
        ">$folder/honed.json\n"
    )
    make.chmod(0o755)
    words = ("model=tiny", "backend=fake", "fake.latency_us=2000", "duration_s=0.05",
             "min_samples=5", "warmup_s=0.05", "sequence_length=8")  # fmt: skip
    gate = Gate(words, resolution="30%", budget="10m")  # it ends when it is decided
    code, said = run(
        repository, gate, "HEAD~1", "HEAD",
        HONED_GATE_ENVIRONMENT=str(make), PATH=f"{BIN}:{os.environ['PATH']}",
    )  # fmt: skip
    assert code == 0, said
    assert "### honed: is the head slower than the base?" in said
    found = json.loads((repository / "honed-gate/comparison.json").read_text())
    assert found["verdict"] in ("tie", "faster")
    assert [side["label"] for side in found["sides"]] == ["base", "head"]
    records = (repository / "honed-gate/records.jsonl").read_text().splitlines()
    assert len(records) == len(found["trials"])
