"""How far from the best point does honed tune end, in 20 trials and a fifth of the time?

    python -m benchmarks.regret [--passes 2] [--seeds 5] [--rounds 6] [--png FILE] [--quick]
                                [--keep FOLDER]

The space is small enough to measure every point: engines x precisions x shares of the cores x
allocators x huge pages. First, passes measure every point. Then `honed tune` searches the space
once for each seed, each time in a new store, with a fifth of the time of a pass as its whole
budget, confirmation included. After each search, rounds measure the best points of the passes and
all recommendations: every second round decides which point is the best, and the other rounds
measure how far behind the others are. (The best of many noisy numbers is a lucky one, so other
numbers must judge it.) A point outside the rounds is judged by the passes.

Each seed gives two numbers: the regret of its best trial, and that of its recommendation, which
has lost every knob that gains less than 1 % or less than the noise.

Random search draws from the same points; its trial of a point is the measurement of one pass.
Run it on a quiet machine; it takes about half an hour. `--keep` keeps the passes and every study
in a folder; a pass that the folder has is not measured again, but the rounds always are, because
they decide.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._common import HONED
from honed import store
from honed.case import Case
from honed.experiment.policy import SEARCH
from honed.record import Record
from honed.run.parent import measure
from honed.study import Setting, Trial
from honed.tune import api, storage
from honed.tune.storage import Study

_SPACE = (
    *("model=MiniLM-L6", "sequence_length=128", "objective=throughput", "batch_size=1"),
    *("backend=torch,onnxruntime,openvino,ctranslate2", "precision=fp32,bf16,int8"),
    *("threads=1,2", "instances=1,2", "allocator=null,jemalloc,tcmalloc", "thp=null,always"),
    "search=backend,precision,threads,instances,allocator,thp",
)
_QUICK = (
    *("model=tiny-bert", "sequence_length=16", "objective=throughput", "batch_size=1"),
    *("backend=torch,onnxruntime", "precision=fp32", "threads=1", "instances=1,2"),
    *("allocator=null,jemalloc", "search=backend,instances,allocator"),
)
_TRIALS = 20
_RANDOM_SEARCHES = 200
_CONTENDERS = 8
_FAR = 0.08  # no need to judge it more closely
_LEAST_ROUNDS = 6
_GOOD = 0.02
_TIME_SHARE = 0.2


@dataclass(slots=True)
class Table:
    """The throughput of each setting in each pass, the time of a pass, and the rounds.

    Every second round decides which setting is the best; the others judge the settings by it.
    """

    passes: Mapping[str, Sequence[float]]
    pass_s: float
    rounds: list[Mapping[str, float]] = field(default_factory=list)

    @property
    def ranked(self) -> list[str]:
        """The settings by the passes alone, best first."""
        return sorted(self.passes, key=lambda s: -statistics.geometric_mean(self.passes[s]))

    @property
    def best(self) -> str:
        first = self.ranked[0]
        chosen = self.rounds[::2]

        def behind(setting: str) -> float:
            return _mean(_logs(chosen, first, setting))

        return min((s for s in self.ranked[:_CONTENDERS] if s in chosen[0]), key=behind)

    def regret(self, setting: str) -> float:
        """The share by which the throughput of a setting is below that of the best."""
        return 0.0 if setting == self.best else 1 - math.exp(-_mean(self.logs(setting)))

    def error(self, setting: str) -> float:
        logs = self.logs(setting)
        return statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan

    def logs(self, setting: str) -> list[float]:
        """Logs of the best throughput over the setting's, in each judging round that has both.

        The passes stand in if no judging round has both.
        """
        best = self.best
        if judged := _logs(self.rounds[1::2], best, setting):
            return judged
        pairs = zip(self.passes[best], self.passes[setting], strict=True)
        return [math.log(high / own) for high, own in pairs]


def _logs(rounds: Sequence[Mapping[str, float]], one: str, other: str) -> list[float]:
    both = [r for r in rounds if one in r and other in r]
    return [math.log(r[one] / r[other]) for r in both]


def _mean(logs: Sequence[float]) -> float:
    return sum(logs) / len(logs)


@dataclass(frozen=True, slots=True)
class Search:
    """The study of one seed: its trials, its recommendation and its whole time."""

    trials: Sequence[Trial]
    found: str
    took_s: float


def tune(folder: Path, name: str, *words: str) -> tuple[Study, dict[str, Any]]:
    """Run `honed tune` in a new store, so that no other search helps it."""
    url = _store(folder, name)
    command = [str(HONED), "tune", *words, f"study={name}", "--store", url, "--no-warm", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    with store.open_store(url) as opened:
        return storage.load(opened.url, name), json.loads(done.stdout.splitlines()[-1])


def _store(folder: Path, name: str) -> str:
    """A new store, whatever an earlier run left in the folder."""
    return str(folder / f"{name}-{os.getpid()}.db")


def exhaustive(folder: Path, words: Sequence[str], count: int) -> tuple[Study, Table]:
    """Measure every point in each pass, in random order.

    Points that the folder has are not measured again, and their time counts. The first process of
    an engine and a precision also exports; it runs before the passes and does not count.
    """
    options = api.TuneOptions(store=_store(folder, "all"), warm=False)
    made = api.new([*words, "study=all", "budget=1h"], options)
    settings = [s for branch in made.space.branches for s in made.space.settings(branch)]
    for branch in made.space.branches:
        measure(_case(made, branch.setting))
    kept = folder / "passes.json"
    known: dict[str, Any] = {"pass_s": 0.0, "found": {}}
    if kept.exists():
        known = json.loads(kept.read_text())
    missing = [s for s in settings if s.name not in known["found"]]
    found: dict[str, list[float | None]] = defaultdict(list)
    rng, began_s = random.Random(0), time.monotonic()
    for _ in range(count if missing else 0):
        for setting in rng.sample(missing, len(missing)):
            found[setting.name].append(_throughput(measure(_case(made, setting))))
    known["pass_s"] += (time.monotonic() - began_s) / count
    known["found"] |= found
    kept.write_text(json.dumps(known))
    print(f"{len(known['found'])} points, {known['pass_s']:.0f} s a pass", flush=True)
    whole = {k: v for k, v in known["found"].items() if None not in v}
    return made, Table(whole, known["pass_s"])


def _case(made: Study, setting: Setting) -> Case:
    """A Case as short as a trial of a search."""
    return SEARCH.short(made.space.case(setting))


def _throughput(record: Record) -> float | None:
    return record.metrics.throughput_per_s.value if record.ok and record.metrics else None


def search(folder: Path, seed: int, words: Sequence[str]) -> Search:
    made, outcome = tune(folder, f"seed-{seed}", *words, f"seed={seed}")
    found = Setting(outcome["point"]).name
    return Search([t for t in made.trials() if t.ok], found, outcome["elapsed_s"])


def again(made: Study, settings: Sequence[str], rng: random.Random) -> dict[str, float]:
    """Measure one round of settings, in random order."""
    every = (s for branch in made.space.branches for s in made.space.settings(branch))
    by_name = {setting.name: setting for setting in every}
    found = {}
    for name in rng.sample(list(settings), len(settings)):
        record = measure(_case(made, by_name[name]))
        if (value := _throughput(record)) is None:
            sys.exit(f"{name}: {record.status}: {record.error}")
        found[name] = value
    return found


def contenders(table: Table, found: Sequence[str]) -> list[str]:
    """The best settings of the passes and the recommendations, but none that is far behind."""
    named = dict.fromkeys([*table.ranked[:_CONTENDERS], *(s for s in found if s in table.passes)])
    if len(table.rounds) < _LEAST_ROUNDS:
        return list(named)
    return [s for s in named if not any(s in r for r in table.rounds) or table.regret(s) < _FAR]


def regrets(trials: Sequence[tuple[str, float]], table: Table) -> list[float]:
    """After each trial, the true regret of the setting that is best so far."""
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
    parser.add_argument("--rounds", type=int, default=6, help="after each search")
    parser.add_argument("--png", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--quick", action="store_true", help="a tiny space: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.passes, asked.seeds, asked.rounds = 1, 1, 2
    words = _QUICK if asked.quick else _SPACE
    trials = 4 if asked.quick else _TRIALS
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        made, table = exhaustive(folder, words, asked.passes)
        budget_s = 30 if asked.quick else int(_TIME_SHARE * table.pass_s)
        limits = (f"trials={trials}", f"budget={budget_s}s")
        rng, searches = random.Random(0), []
        for seed in range(asked.seeds):
            searches.append(search(folder, seed, (*words, *limits)))
            # Rounds follow each search, so that a change of the machine affects both.
            for _ in range(asked.rounds):
                settings = contenders(table, [s.found for s in searches])
                table.rounds.append(again(made, settings, rng))
    good = report(table, searches)
    control = random_searches(table, trials)
    middle = [statistics.median(column) for column in zip(*control, strict=True)]
    worse = [sorted(column)[int(0.8 * len(column))] for column in zip(*control, strict=True)]
    print(f"random search, median of {len(control)}: {_course(middle)}")
    print(f"random search, 4 of 5 are no worse than: {_course(worse)}")
    print(f"{good} of {asked.seeds} within {_GOOD:.0%} and {_TIME_SHARE:.0%} of the time")
    if asked.png:
        found = [table.regret(s.found) for s in searches]
        _draw(asked.png, [_seen(s, table) for s in searches], found, (middle, worse))
    sys.exit(0 if asked.quick or good >= 0.8 * asked.seeds else 1)


def report(table: Table, searches: Sequence[Search]) -> int:
    """Print the result of each search; return the number of good ones."""
    print(f"{len(table.passes)} points; regret of the best, with its standard error:")
    for setting in dict.fromkeys(s for r in table.rounds for s in r):
        values = [r[setting] for r in table.rounds if setting in r]
        print(f"  {table.regret(setting):6.1%} ({table.error(setting):.1%})  "
              f"{statistics.geometric_mean(values):6.1f}/s  {setting}")  # fmt: skip
    good = 0
    for seed, of in enumerate(searches):
        share = of.took_s / table.pass_s
        regret = table.regret(of.found)
        good += regret <= _GOOD and len(of.trials) <= _TRIALS and share <= _TIME_SHARE
        print(f"seed {seed}: {_course(_seen(of, table))}; {len(of.trials)} trials, "
              f"{share:.0%} of the time; recommended, {regret:.1%}: {of.found}")  # fmt: skip
    best = [_seen(of, table)[-1] for of in searches]
    print(f"best of each seed's trials: {_course(best)}")
    return good


def _seen(of: Search, table: Table) -> list[float]:
    return regrets([(t.setting.name, t.values[0]) for t in of.trials], table)


def _course(course: Sequence[float]) -> str:
    return " ".join(f"{r:.1%}" for r in course)


def _draw(
    path: Path,
    courses: Sequence[Sequence[float]],
    found: Sequence[float],
    control: tuple[Sequence[float], Sequence[float]],
) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for seed, course in enumerate(courses):
        axes.step(
            range(1, len(course) + 1), [100 * r for r in course], where="post", color="#0072B2",
            label="honed tune, the best trial so far, each seed" if seed == 0 else None,
        )  # fmt: skip
    ends = [len(course) + 1 for course in courses]
    axes.plot(ends, [100 * r for r in found], "o", color="#0072B2", fillstyle="none",
              label="what it recommends")  # fmt: skip
    middle, worse = control
    places = range(1, len(middle) + 1)
    axes.step(places, [100 * r for r in middle], where="post", color="#D55E00",
              label="random search, median")  # fmt: skip
    axes.step(places, [100 * r for r in worse], where="post", color="#D55E00", linestyle="--",
              label="random search, 4 of 5 no worse")  # fmt: skip
    axes.axhline(100 * _GOOD, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="trials", ylabel="regret, % below the exhaustive best", ylim=(-2, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
