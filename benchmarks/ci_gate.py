"""Does the gate of `honed ci init` find a planted slowdown of 3 %, and does it raise false alarms?

    python -m benchmarks.ci_gate [--planted 10] [--clean 20] [--keep FILE] [--minutes 38] [--quick]

A small repository holds a package with an attention function of about 20 ms. Its last commits add
a known computation of 3 % (planted), or change a comment (clean). Each run is the whole script:
two worktrees, two environments, the comparison, the summary. The environments find the engine of
this one, because installing torch is not what is measured.

Thirty runs take more than an hour, so they may be spread over several quiet times: with --keep
each run is a line of a file, and the same command goes on with the runs that are missing; after
--minutes no run begins that would probably end later. The calibration (the length of the function,
and the operations that are 3 %) is the first line, so that every piece measures the same commits.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks._common import HONED
from honed.ci.write import Gate, script
from honed.plain import from_plain, to_plain

_SHARE = 0.03
_STEP_S = 0.020
_LENGTHS = (192, 224, 256, 288, 320, 352)
_LIMIT_S = 300.0
_MANY = 4000  # operations: enough that their time stands out from the noise
_WORDS = ("workload=attention", "attention=smallstep:attend", "until=forward", "threads=1",
          "batch_size=32", "d_model=64", "memory=false")  # fmt: skip
_PACKAGE = '''
"""Attention in separate operators, and a number of further operations."""

import torch

EXTRA = {extra}
_VALUES = torch.linspace(0.0, 1.0, 4096)


def attend(q, k, v):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    out = torch.softmax(scores, dim=-1) @ v
    for _ in range(EXTRA):
        torch.sin(_VALUES)
    return out
'''
# Makes an environment with the files of a commit and the packages of this one.
_MAKE = """#!/usr/bin/env bash
set -e
folder=$HONED_HOME/envs/$1
{python} -m venv --without-pip "$folder"
for packages in "$folder"/lib/python3*/site-packages; do
    printf '%s\\n' {paths} >"$packages/shared.pth"
    cp "$2/smallstep.py" "$packages/"
done
echo '{{"created": "2026-01-01", "python": "3", "requirements": []}}' >"$folder/honed.json"
"""


class Repository:
    """A repository with one module, and commits that differ in its number of operations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._git("init", "-q", "-b", "main")

    def commit(self, extra: int, comment: str) -> str:
        text = _PACKAGE.format(extra=extra) + f"# {comment}\n"
        (self.folder / "smallstep.py").write_text(text)
        self._git("add", "-A")
        self._git("commit", "-qm", f"{extra} operations, {comment}")
        return self._git("rev-parse", "HEAD")

    def _git(self, *words: str) -> str:
        who = {f"GIT_{role}_{of}": "benchmark"
               for role in ("AUTHOR", "COMMITTER") for of in ("NAME", "EMAIL")}  # fmt: skip
        done = subprocess.run(
            ["git", "-C", str(self.folder), *words],
            capture_output=True, text=True, check=True, env=os.environ | who,
        )  # fmt: skip
        return done.stdout.strip()


def p50_s(folder: Path, extra: int, length: int) -> float:
    """The median time of a call with so many operations, in one process."""
    (folder / "smallstep.py").write_text(_PACKAGE.format(extra=extra))
    words = (*_WORDS, f"sequence_length={length}", "duration_s=1")
    done = subprocess.run(
        [str(HONED), "run", *words, "--json", "--store", "sqlite://"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    record = json.loads(done.stdout.splitlines()[-1])
    if record["status"] not in ("ok", "unproven"):
        sys.exit(f"{record['status']}: {record['error']}")
    value: float = record["metrics"]["latency_s"]["p50"]
    return value


@dataclass(frozen=True, slots=True)
class Plan:
    """The function of about 20 ms, and how many further operations are the planted share."""

    length: int
    plain_s: float
    extra: int
    share: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the script. `ratio` is the head's time over the base's, with its interval."""

    kind: str
    exit_code: int
    took_s: float
    trials: int
    ratio: str


@dataclass(slots=True)
class Kept:
    """The calibration and the runs so far, and the file that keeps them, if there is one."""

    path: Path | None
    plan: Plan | None = None
    runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists() and self.path.stat().st_size:
            first, *rest = map(json.loads, self.path.read_text().splitlines())
            self.plan = from_plain(Plan, first)
            self.runs = [from_plain(Run, line) for line in rest]

    def add(self, line: Plan | Run) -> None:
        if isinstance(line, Plan):
            self.plan = line
        else:
            self.runs.append(line)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(to_plain(line)) + "\n")

    def count(self, kind: str) -> int:
        return sum(run.kind == kind for run in self.runs)


def calibrated(folder: Path, lengths: Sequence[int], draws: int) -> Plan:
    """The length whose call is nearest to 20 ms, and the operations that take 3 % of it."""
    times = {length: p50_s(folder, 0, length) for length in lengths}
    length = min(times, key=lambda each: abs(times[each] - _STEP_S))
    plain_s = statistics.median(p50_s(folder, 0, length) for _ in range(draws))
    loaded_s = statistics.median(p50_s(folder, _MANY, length) for _ in range(draws))
    one_s = (loaded_s - plain_s) / _MANY
    extra = max(1, round(_SHARE * plain_s / one_s))
    return Plan(length, plain_s, extra, extra * one_s / plain_s)


@dataclass(frozen=True, slots=True)
class Gated:
    """The repository with its script, and the commits that the script compares with the base."""

    repository: Repository
    script: Path
    base: str
    heads: Mapping[str, str]
    variables: Mapping[str, str]

    def run(self, kind: str) -> Run:
        began = time.monotonic()
        done = subprocess.run(
            ["bash", str(self.script), self.base, self.heads[kind]],
            cwd=self.repository.folder, capture_output=True, text=True, env=self.variables,
        )  # fmt: skip
        took_s = time.monotonic() - began
        path = self.repository.folder / "honed-gate" / "comparison.json"
        text = path.read_text() if path.exists() else ""
        if done.returncode not in (0, 1, 3) or not text.strip():
            sys.exit(f"the script ended with {done.returncode}:\n{done.stderr}")
        found = json.loads(text)
        if found["failure"] is not None:
            sys.exit(f"a trial failed: {found['failure']}")
        ratio = found["ratio"] or {}
        ci95 = ratio.get("ci95")
        limits = f" ({ci95[0]:.4f} to {ci95[1]:.4f})" if ci95 else ""
        shown = f"{ratio.get('value') or 0:.4f}{limits}"
        return Run(kind, done.returncode, took_s, len(found["trials"]), shown)


def gated(folder: Path, plan: Plan, budget: str) -> Gated:
    repository = Repository(folder / "repository")
    base = repository.commit(0, "the base")
    heads = {"planted": repository.commit(plan.extra, "planted"),
             "clean": repository.commit(0, "the same with another comment")}  # fmt: skip
    gate, make = folder / "gate.sh", folder / "make"
    gate.write_text(script(Gate((*_WORDS, f"sequence_length={plan.length}"), budget=budget)))
    paths = [str(Path(torch.__file__).parents[1])]
    make.write_text(_MAKE.format(python=sys.executable, paths=" ".join(paths)))
    make.chmod(0o755)
    variables = os.environ | {
        "HONED_GATE_ENVIRONMENT": str(make),
        "PATH": f"{HONED.parent}:{os.environ['PATH']}",
    }
    return Gated(repository, gate, base, heads, variables)


def missing(kept: Kept, planted: int, clean: int) -> list[str]:
    """The kinds of the runs to come, in turns, so that a piece of the whole holds both kinds."""
    left = {"planted": planted - kept.count("planted"), "clean": clean - kept.count("clean")}
    order = []
    while any(count > 0 for count in left.values()):
        kind = max(left, key=lambda each: left[each])
        left[kind] -= 1
        order.append(kind)
    return order


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--planted", type=int, default=10)
    parser.add_argument("--clean", type=int, default=20)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep each run, and go on")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no run after that")
    parser.add_argument("--quick", action="store_true", help="one short run of each")
    asked = parser.parse_args()
    began_s = time.monotonic()
    planted, clean = (1, 1) if asked.quick else (asked.planted, asked.clean)
    budget_s = 30 if asked.quick else 240
    kept = Kept(None if asked.quick else asked.keep)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if kept.plan is None:
            lengths, draws = ((288,), 1) if asked.quick else (_LENGTHS, 3)
            kept.add(calibrated(folder, lengths, draws))
        plan = kept.plan
        assert plan is not None
        print(f"length {plan.length}: {plan.plain_s * 1e3:.1f} ms; "
              f"planted: {plan.extra} operations, {plan.share:.2%}", flush=True)  # fmt: skip
        gate = gated(folder, plan, f"{budget_s}s")
        order = missing(kept, planted, clean)
        for kind in order:
            usual_s = statistics.median(r.took_s for r in kept.runs) if kept.runs else budget_s
            if time.monotonic() - began_s + usual_s > asked.minutes * 60:
                break
            run = gate.run(kind)
            kept.add(run)
            print(f"{len(kept.runs):3} {kind:8} exit {run.exit_code}  {run.ratio}  "
                  f"{run.trials:3} trials  {run.took_s:4.0f} s", flush=True)  # fmt: skip
    sys.exit(0 if told(kept, planted, clean) or asked.quick else 1)


def told(kept: Kept, planted: int, clean: int) -> bool:
    """Print the sums, and whether the runs so far reach what is promised."""
    assert kept.plan is not None
    codes = {kind: Counter(r.exit_code for r in kept.runs if r.kind == kind)
             for kind in ("planted", "clean")}  # fmt: skip
    found, alarms = codes["planted"][1], codes["clean"][1]
    times_s = [run.took_s for run in kept.runs]
    print(f"planted {kept.plan.share:.1%}: found {found} of {codes['planted'].total()} "
          f"({dict(codes['planted'])})")  # fmt: skip
    print(f"clean: {alarms} false alarms in {codes['clean'].total()} ({dict(codes['clean'])})")
    if times_s:
        trial_s = sum(times_s) / max(1, sum(run.trials for run in kept.runs))
        print(f"a run took {statistics.median(times_s):.0f} s in the median, "
              f"{max(times_s):.0f} s at most; {trial_s:.1f} s a trial")  # fmt: skip
    left = len(missing(kept, planted, clean))
    if left:
        print(f"{left} runs are left: start the same command again")
    return (
        not left and found >= 0.9 * planted and alarms <= 0.05 * clean and max(times_s) <= _LIMIT_S
    )


if __name__ == "__main__":
    main()
