"""Checks the promises of this folder on this machine. It needs the engine and numpy, not honed.

    python verify.py [--json] [--rounds 5]

The promises are: the files are unchanged; the packages are those of the export; the outputs are
those of the export; the settings are in force in a process that runs; the engine is as much faster
than at its defaults as it was on the machine of the export.

Exit code 0: every promise holds; 1: a promise is broken; 3: a promise could not be decided.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

LEAST_COSINE = 0.999999
# Of the largest value: twice the relative error that the cosine allows, sqrt(2 (1 - cosine)).
_MOST_DIFFERENCE = 2 * math.sqrt(2 * (1 - LEAST_COSINE))
_NARROW = 16  # rows of fewer numbers
ROUNDS = 5
CALLS_S = 1.0  # how long each process calls the engine, after as long a warm-up
_KEPT_SHARE = 0.9  # of the promised gain: the rest is another machine's or the noise of this one
_BUSY_SHARE = 0.05  # a thread that computes less than this share of the time only waits
# Student's t for a two-sided 95 % interval, by degrees of freedom; those that are not listed have
# the t of the next lower number, which makes their interval slightly too wide.
_T95 = {
    1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262,
    10: 2.228, 11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 16: 2.120, 18: 2.101, 20: 2.086,
    25: 2.060, 30: 2.042, 40: 2.021, 60: 2.000, 120: 1.980,
}  # fmt: skip
# The keys of settings.json that this check reads.
_KEYS = (
    "engine", "packages", "threads", "environment", "preload", "in_process", "calls_s",
    "in_force", "busy_threads", "gain",
)  # fmt: skip
HOLDS, BROKEN, UNDECIDED = "holds", "broken", "undecided"


class Settings(TypedDict):
    """What settings.json holds; the keys below the empty line are what the folder promises."""

    honed: str  # the version that exported the folder
    case: dict[str, Any]  # the setting in the keys of `honed run`
    model: str
    task: str
    engine: dict[str, Any]  # what load.py gives to the engine
    threads: int | None
    instances: int  # how many processes at once the setting was found for
    environment: dict[str, str]  # variables with which the process has to start
    in_process: dict[str, Any]  # what load.py sets in the process itself
    reading: dict[str, Any] | None  # how texts become ids; null without a tokenizer
    calls_s: float  # how long each process of the check calls the engine

    packages: dict[str, str]  # the versions of the export
    fidelity: dict[str, Any]  # how far the outputs are from those of fp32
    preload: list[str]  # libraries that have to be in the process
    in_force: dict[str, Any]  # what the engine and the kernel report
    busy_threads: int | None  # how many threads compute
    gain: dict[str, float] | None  # a Gain over the engine's defaults


class Promise(NamedTuple):
    name: str
    verdict: str
    message: str


class Gain(NamedTuple):
    """How many times faster than at the engine's defaults, with the 95 % interval."""

    value: float
    low: float
    high: float


def verify(folder: Path, rounds: int = ROUNDS) -> Iterator[Promise]:
    """Each promise as soon as it is decided."""
    yield check_files(folder)
    try:
        settings = _read_settings(folder)
    except (OSError, ValueError) as error:
        yield Promise("settings", BROKEN, f"settings.json cannot be read: {error}")
        return
    yield check_packages(settings)
    answer = ask(folder, settings, "tuned")
    if "error" in answer:
        yield Promise("outputs", BROKEN, answer["error"])
        return
    yield check_outputs(answer)
    promises = [*check_settings(settings, answer)]
    if any(promise.verdict == BROKEN for promise in promises):
        # Another program may have kept a thread from computing. What is really broken stays so.
        again = ask(folder, settings, "tuned")
        promises = promises if "error" in again else [*check_settings(settings, again)]
    yield from promises
    yield check_speed(folder, settings, rounds)


def _read_settings(folder: Path) -> Settings:
    settings: Any = json.loads((folder / "settings.json").read_text())
    if not isinstance(settings, dict):
        raise ValueError("it holds no settings")
    if missing := [key for key in _KEYS if key not in settings]:
        raise ValueError(f"{', '.join(missing)} missing")
    read: Settings = settings  # type: ignore[assignment]
    return read


def check_files(folder: Path) -> Promise:
    """Every file against its checksum."""
    sums, changed = folder / "checksums.sha256", []
    if not sums.is_file():
        return Promise("files", BROKEN, f"{sums.name} is missing")
    for line in sums.read_text().splitlines():
        digest, _, name = line.partition("  ")
        if sha256(folder / name) != digest:
            changed.append(name)
    if changed:
        return Promise("files", BROKEN, f"changed or missing: {', '.join(changed)}")
    return Promise("files", HOLDS, "every file is as it was exported")


def sha256(path: Path) -> str:
    """The digest of a file; empty if it is missing."""
    if not path.is_file():
        return ""
    digest = hashlib.sha256()
    with open(path, "rb") as file:  # hashlib.file_digest is new in Python 3.11
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def check_packages(settings: Settings) -> Promise:
    """Another version of the engine may give other outputs; the outputs decide."""
    from importlib.metadata import PackageNotFoundError, version

    other, missing = [], []
    for name, promised in settings["packages"].items():
        try:
            here = version(name)
        except PackageNotFoundError:
            here = "not installed"
            missing.append(f"{name}=={promised.partition('+')[0]}")
        if here != promised:
            other.append(f"{name} {here} (exported with {promised})")
    if missing:
        other.append(f"pip install {' '.join(missing)}, or PYTHON=INTERPRETER ./verify")
    if other:
        return Promise("packages", BROKEN, "; ".join(other))
    named = ", ".join(f"{name} {v}" for name, v in settings["packages"].items())
    return Promise("packages", HOLDS, named or "the engine needs numpy alone")


def check_outputs(answer: Mapping[str, Any]) -> Promise:
    """By their direction, and by their largest difference: a cosine does not see the scale."""
    cosine, difference = answer["cosine_min"], answer["relative_diff"]
    shown = f"least cosine to the outputs of the export {math.floor(cosine * 1e7) / 1e7:.7f}"
    if cosine < LEAST_COSINE:
        return Promise("outputs", BROKEN, f"{shown}, promised at least {LEAST_COSINE}")
    if difference > _MOST_DIFFERENCE:
        shown += f", but they differ by up to {difference:.2%} of the largest value"
        return Promise("outputs", BROKEN, f"{shown}, promised at most {_MOST_DIFFERENCE:.2%}")
    return Promise("outputs", HOLDS, shown)


def check_settings(settings: Settings, answer: Mapping[str, Any]) -> Iterator[Promise]:
    """The threads that computed, the preloaded libraries, and what the engine reports."""
    threads, promised = settings["threads"], settings["busy_threads"]
    if threads is not None:
        busy, cpus = answer["busy_threads"], answer["cpus"]
        shown = f"{busy} computed, promised {promised}; the process may use {cpus} CPUs"
        verdict = HOLDS if busy == promised and cpus >= threads else BROKEN
        yield Promise("threads", verdict, shown)
    missing = [name for name in settings["preload"] if name not in answer["preloaded"]]
    if settings["preload"]:
        shown = f"not loaded: {', '.join(missing)}" if missing else ", ".join(settings["preload"])
        yield Promise("preload", BROKEN if missing else HOLDS, shown)
    differing = [
        f"{name}={answer['in_force'].get(name)} (promised {value})"
        for name, value in settings["in_force"].items()
        if answer["in_force"].get(name) != value
    ]
    shown = "; ".join(differing) or "the engine reports the settings of the export"
    yield Promise("engine settings", BROKEN if differing else HOLDS, shown)


def check_speed(folder: Path, settings: Settings, rounds: int) -> Promise:
    """The gain over the engine's defaults, measured in turns, beside the promised one.

    The promise is the lower end of the interval that the export measured: its middle may have been
    luck on a machine whose processes differ.
    """
    promised = settings["gain"]
    if promised is None:
        return Promise("speed", HOLDS, "no gain was promised")
    gain = measure_gain(folder, settings, rounds)
    if gain is None:
        return Promise("speed", UNDECIDED, "not measured: a process failed, or --rounds 0")
    is_one = math.isinf(gain.high)
    interval = "one round has no interval" if is_one else f"{gain.low:.2f} to {gain.high:.2f}"
    shown = f"{gain.value:.2f} times the engine's defaults ({interval})"
    shown += f", promised {promised['value']:.2f} (at least {promised['low']:.2f})"
    least = promised["low"] ** _KEPT_SHARE
    if gain.value >= least:
        return Promise("speed", HOLDS, shown)
    if gain.high < least:
        return Promise("speed", BROKEN, shown)
    shown += f"; --rounds {3 * max(rounds, ROUNDS)} on an idle machine may decide"
    return Promise("speed", UNDECIDED, shown)


def measure_gain(folder: Path, settings: Settings, rounds: int) -> Gain | None:
    """Fresh processes in turns: the defaults and the settings of the export, `rounds` times. None
    without a round, or if a process failed."""
    logs: list[float] = []
    for index in range(rounds):
        order = ("plain", "tuned") if index % 2 == 0 else ("tuned", "plain")
        answers = {role: ask(folder, settings, role) for role in order}
        if any("error" in answer for answer in answers.values()):
            return None
        logs.append(math.log(answers["plain"]["median_s"] / answers["tuned"]["median_s"]))
    if not logs:
        return None
    mean = sum(logs) / len(logs)
    if len(logs) < 2:
        return Gain(math.exp(mean), 0.0, math.inf)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in logs) / (len(logs) - 1))
    half = _t95(len(logs) - 1) * deviation / math.sqrt(len(logs))
    return Gain(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def _t95(degrees: int) -> float:
    return _T95[max(listed for listed in _T95 if listed <= degrees)]


def ask(folder: Path, settings: Settings, role: str) -> dict[str, Any]:
    """What a fresh process reports. "plain" runs without the environment and the settings."""
    environment = {k: v for k, v in os.environ.items() if k not in settings["environment"]}
    if role == "tuned":
        environment |= settings["environment"]
    # -B: compiled files would name the folder in which they were made.
    command = [sys.executable, "-B", __file__, "--role", role, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"error": f"the {role} process failed: {last}"}
    return answer


def run_role(folder: Path, role: str) -> dict[str, Any]:
    """In the child: load, run the batch of the check, and report what is in force."""
    sys.path.insert(0, str(folder))
    import load  # type: ignore[import-not-found]
    import numpy as np

    settings = load.read_settings(folder)
    tuned = role == "tuned"
    if tuned:
        load.apply_in_process(settings["in_process"])
    engine = load.load_engine(folder, settings["engine"] if tuned else {})
    with np.load(folder / "check.npz") as stored:
        arrays = dict(stored)
    batch = {n.partition("/")[2]: a for n, a in arrays.items() if n.startswith("input/")}
    wanted = {n.partition("/")[2]: a for n, a in arrays.items() if n.startswith("output/")}
    outputs = engine(batch)
    pairs = [(wanted[name], outputs[name]) for name in wanted]
    if not tuned:  # at its defaults the engine may round in another way
        pairs = []
    _call_for(lambda: engine(batch), settings["calls_s"])
    before, began = _thread_ticks(), time.perf_counter()
    times_s = _call_for(lambda: engine(batch), settings["calls_s"])
    wall_s = time.perf_counter() - began
    return {
        "cosine_min": min((_least_cosine(*pair) for pair in pairs), default=1.0),
        "relative_diff": max((_largest_difference(*pair) for pair in pairs), default=0.0),
        "median_s": sorted(times_s)[len(times_s) // 2],
        "busy_threads": _busy(before, _thread_ticks(), wall_s),
        "cpus": len(os.sched_getaffinity(0)),
        "preloaded": [n for n in settings["preload"] if n in Path("/proc/self/maps").read_text()],
        "in_force": engine.in_force() | load.read_in_process(settings["in_process"]),
    }


def _least_cosine(wanted: Any, got: Any) -> float:
    """Of any row. Rows of few numbers, as one score, have hardly a direction: they are joined."""
    import numpy as np

    if wanted.shape != got.shape or not np.isfinite(got).all():
        return 0.0
    one, other = (np.asarray(a, np.float64).reshape(len(a), -1) for a in (wanted, got))
    if one.shape[1] < _NARROW:
        one, other = one.reshape(1, -1), other.reshape(1, -1)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / np.maximum(norms, 1e-300)).min())


def _largest_difference(wanted: Any, got: Any) -> float:
    """As a share of the largest value."""
    import numpy as np

    if wanted.shape != got.shape or not np.isfinite(got).all():
        return math.inf
    one, other = (np.asarray(a, np.float64) for a in (wanted, got))
    difference = float(np.abs(one - other).max(initial=0.0))
    return difference / max(float(np.abs(one).max(initial=0.0)), 1e-300)


def _call_for(call: Any, seconds: float) -> list[float]:
    """The times of calls, for at least this long and at least five of them."""
    times_s: list[float] = []
    end = time.perf_counter() + seconds
    while len(times_s) < 5 or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - began)
    return times_s


def _thread_ticks() -> dict[str, int]:
    """User and system time of every thread of this process, in the kernel's ticks (proc(5))."""
    ticks = {}
    for path in Path("/proc/self/task").iterdir():
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # the thread has ended
            continue
        ticks[path.name] = int(fields[11]) + int(fields[12])
    return ticks


def _busy(before: Mapping[str, int], after: Mapping[str, int], wall_s: float) -> int:
    least = _BUSY_SHARE * wall_s * os.sysconf("SC_CLK_TCK")
    return sum(after[name] - before.get(name, 0) >= least for name in after)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="pairs of processes")
    parser.add_argument("--role", choices=("tuned", "plain"), help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.role:
        print(json.dumps(run_role(asked.folder, asked.role)))
        return 0
    promises = []
    for promise in verify(asked.folder, asked.rounds):
        promises.append(promise)
        if not asked.json:
            print(f"{promise.name:16} {promise.verdict:10} {promise.message}", flush=True)
    if asked.json:
        print(json.dumps([promise._asdict() for promise in promises]))
    verdicts = {promise.verdict for promise in promises}
    return 1 if BROKEN in verdicts else 3 if UNDECIDED in verdicts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
