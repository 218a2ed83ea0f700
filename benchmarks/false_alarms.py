"""How often is a setting called faster or slower than itself?

    python -m benchmarks.false_alarms [COMPARISONS] [--quick]

Beside honed compare, the benchmark runs the method of other tools on the same machine in the same
hour: one process of each side, 5 s of calls, a ratio of means and Welch's t test over the calls.
It needs a quiet machine; 40 comparisons take one to two hours.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from scipy import stats

from benchmarks._common import honed_compare, honed_run

# One core: see benchmarks/_engines.py.
_MODEL = ("model=MiniLM-L6", "backend=onnxruntime", "sequence_length=80", "threads=1")
_P_LIMIT = 0.05


def peers_method(duration_s: float) -> tuple[str, float]:
    """The verdict of Welch's t test over the calls of one process of each side."""
    words = (*_MODEL, f"duration_s={duration_s}", "memory=false")
    calls = [honed_run(*words)["samples"]["latency_s"][0] for _ in "AB"]
    test = stats.ttest_ind(calls[1], calls[0], equal_var=False)
    ratio = (sum(calls[1]) / len(calls[1])) / (sum(calls[0]) / len(calls[0]))
    if test.pvalue >= _P_LIMIT:
        return "no difference", ratio
    return ("slower" if ratio > 1 else "faster"), ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("comparisons", nargs="?", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="two small ones: does it run?")
    asked = parser.parse_args()
    count = 2 if asked.quick else asked.comparisons
    budget = ("--budget", "20s") if asked.quick else ()
    ours, theirs, seconds = Counter[str](), Counter[str](), []
    for index in range(count):
        found = honed_compare(*_MODEL, "A:", "B:", *budget)
        ours[found["verdict"]] += 1
        seconds.append(found["elapsed_s"])
        verdict, ratio = peers_method(1.0 if asked.quick else 5.0)
        theirs[verdict] += 1
        value, ci95 = found["ratio"]["value"], found["ratio"]["ci95"]
        print(
            f"{index + 1:3}  honed: {found['verdict']:9} {value:.4f} {_interval(ci95)} "
            f"{len(found['trials']):3} trials {found['elapsed_s']:4.0f} s"
            f"   peers' method: {verdict} {ratio:.4f}",
            flush=True,
        )
    alarms = ours["faster"] + ours["slower"]
    peers_alarms = theirs["faster"] + theirs["slower"]
    print(f"honed compare: {alarms} of {count} false alarms; {dict(ours)}")
    print(f"one process each, t test over calls: {peers_alarms} of {count}; {dict(theirs)}")
    print(f"honed took {sum(seconds) / count:.0f} s per comparison")
    sys.exit(0 if asked.quick or alarms <= 0.05 * count else 1)


def _interval(ci95: list[float] | None) -> str:
    return f"({ci95[0]:.4f} to {ci95[1]:.4f})" if ci95 else "(no interval)"


if __name__ == "__main__":
    main()
