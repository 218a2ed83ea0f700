"""How far from the exhaustive best does honed tune end, after how many trials?

    python -m benchmarks.regret [--passes 2] [--seeds 5] [--png FILE] [--quick]

A space small enough to measure whole: engines x precisions x shares of the cores x allocators x
huge pages. Each point's truth is the median over all passes of brute force. A search sees only its
own, noisy trials; its regret after each trial is how much worse its best so far truly is. Random
search is drawn from the same points and numbers: its trial of a point is one pass's measurement.
Run it on a quiet machine; about 25 minutes.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._common import HONED
from honed import store
from honed.tune import study
from honed.tune.trial import Trial

_SPACE = (
    *("model=MiniLM-L6", "sequence_length=128", "objective=throughput", "batch_size=1"),
    *("backend=torch,onnxruntime,openvino", "precision=fp32,bf16,int8"),
    *("threads=1,2", "instances=1,2", "allocator=null,jemalloc,tcmalloc", "thp=null,always"),
)
_QUICK = (
    *("model=tiny-bert", "sequence_length=16", "objective=throughput", "batch_size=1"),
    *("backend=torch,onnxruntime", "precision=fp32", "threads=1", "instances=1,2"),
    *("allocator=null,jemalloc", "thp=null"),
)
_TRIALS = 20
_RANDOM_SEARCHES = 200
_GOOD = 0.02
_TIME_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Table:
    """Every point's throughput in each pass, by the setting's words; what one pass took."""

    passes: Mapping[str, Sequence[float]]
    pass_s: float

    def truth(self, setting: str) -> float:
        return statistics.median(self.passes[setting])

    @property
    def best(self) -> str:
        return max(self.passes, key=self.truth)

    def regret(self, setting: str) -> float:
        return 1 - self.truth(setting) / self.truth(self.best)


def tune(folder: Path, name: str, *words: str) -> list[Trial]:
    """The trials of one `honed tune`, whose records stay in `folder`."""
    url = str(folder / "records.db")
    command = [str(HONED), "tune", *words, f"study={name}", "--store", url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    with store.open_store(url) as opened:
        return study.load(opened.url, name).trials()


def exhaustive(folder: Path, words: Sequence[str], count: int) -> Table:
    found: dict[str, list[float]] = defaultdict(list)
    times = []
    for index in range(count):
        trials = tune(folder, f"all-{index}", *words, "budget=2h", "--brute-force")
        for trial in trials:
            if trial.ok:
                found[trial.setting].append(trial.values[0])
        times.append(sum(t.elapsed_s for t in trials))
        print(f"pass {index + 1}: {len(trials)} points in {times[-1]:.0f} s", flush=True)
    whole = {k: v for k, v in found.items() if len(v) == count}
    return Table(whole, statistics.median(times))


def regrets(trials: Sequence[tuple[str, float]], table: Table) -> list[float]:
    """After each trial, the true regret of what has looked best so far."""
    seen: dict[str, list[float]] = defaultdict(list)
    course = []
    for setting, value in trials:
        seen[setting].append(value)
        best = max(seen, key=lambda s: statistics.median(seen[s]))
        course.append(table.regret(best))
    return course


def random_searches(table: Table, trials: int) -> list[list[float]]:
    courses = []
    for seed in range(_RANDOM_SEARCHES):
        rng = random.Random(seed)
        picked = rng.sample(sorted(table.passes), min(trials, len(table.passes)))
        courses.append(regrets([(s, rng.choice(table.passes[s])) for s in picked], table))
    return courses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--png", type=Path)
    parser.add_argument("--quick", action="store_true", help="a tiny space: does it run?")
    asked = parser.parse_args()
    words = _QUICK if asked.quick else _SPACE
    trials = 4 if asked.quick else _TRIALS
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tune(folder, "exports", *words, "budget=2h", "--brute-force")  # builds what is exported
        table = exhaustive(folder, words, 1 if asked.quick else asked.passes)
        print(f"{len(table.passes)} points; best: {table.best}: {table.truth(table.best):.1f}/s")
        courses, good = {}, 0
        for seed in range(asked.seeds):
            found = tune(folder, f"seed-{seed}", *words, f"trials={trials}", f"seed={seed}")
            course = regrets([(t.setting, t.values[0]) for t in found if t.ok], table)
            took_s = sum(t.elapsed_s for t in found)
            share = took_s / table.pass_s
            good += course[-1] <= _GOOD and share <= _TIME_SHARE
            courses[seed] = course
            print(f"seed {seed}: {_course(course)}; {len(found)} trials, {share:.0%} of the time")
    control = random_searches(table, trials)
    middle = [statistics.median(column) for column in zip(*control, strict=True)]
    worse = [sorted(column)[int(0.8 * len(column))] for column in zip(*control, strict=True)]
    print(f"random search, median of {len(control)}: {_course(middle)}")
    print(f"random search, 4 of 5 are no worse than: {_course(worse)}")
    print(f"{good} of {asked.seeds} within {_GOOD:.0%} and {_TIME_SHARE:.0%} of the time")
    if asked.png:
        _draw(asked.png, courses, middle, worse)
    sys.exit(0 if asked.quick or good >= 0.8 * asked.seeds else 1)


def _course(course: Sequence[float]) -> str:
    return " ".join(f"{r:.1%}" for r in course)


def _draw(
    path: Path,
    courses: Mapping[int, Sequence[float]],
    middle: Sequence[float],
    worse: Sequence[float],
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for seed, course in courses.items():
        axes.step(
            range(1, len(course) + 1), [100 * r for r in course], where="post", color="#0072B2",
            alpha=0.6, label="honed tune, each seed" if seed == 0 else None,
        )  # fmt: skip
    places = range(1, len(middle) + 1)
    axes.step(places, [100 * r for r in middle], where="post", color="#D55E00",
              label="random search, median")  # fmt: skip
    axes.step(places, [100 * r for r in worse], where="post", color="#D55E00", linestyle="--",
              label="random search, 4 of 5 no worse")  # fmt: skip
    axes.axhline(100 * _GOOD, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="trials", ylabel="regret, % below the exhaustive best", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
