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


def usual_method(duration_s: float) -> tuple[str, float]:
    """The verdict and the ratio of one process each, by Welch's t test over their calls."""
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
    parser.add_argument(
        "--quick", action="store_true", help="two short comparisons, to see that it runs"
    )
    arguments = parser.parse_args()
    count = 2 if arguments.quick else arguments.comparisons
    budget = ("--budget", "20s") if arguments.quick else ()
    verdicts, usual_verdicts, times_s = Counter[str](), Counter[str](), []
    for index in range(count):
        comparison = honed_compare(*_MODEL, "A:", "B:", *budget)
        verdicts[comparison["verdict"]] += 1
        times_s.append(comparison["elapsed_s"])
        usual, ratio = usual_method(1.0 if arguments.quick else 5.0)
        usual_verdicts[usual] += 1
        value, ci95 = comparison["ratio"]["value"], comparison["ratio"]["ci95"]
        print(
            f"{index + 1:3}  honed: {comparison['verdict']:9} {value:.4f} {_interval(ci95)} "
            f"{len(comparison['trials']):3} trials {comparison['elapsed_s']:4.0f} s"
            f"   usual method: {usual} {ratio:.4f}",
            flush=True,
        )
    alarms = verdicts["faster"] + verdicts["slower"]
    usual_alarms = usual_verdicts["faster"] + usual_verdicts["slower"]
    print(f"honed compare: {alarms} of {count} false alarms; {dict(verdicts)}")
    print(
        f"one process each, t test over calls: {usual_alarms} of {count}; {dict(usual_verdicts)}"
    )
    print(f"honed took {sum(times_s) / count:.0f} s per comparison")
    sys.exit(0 if arguments.quick or alarms <= 0.05 * count else 1)


def _interval(ci95: list[float] | None) -> str:
    return f"({ci95[0]:.4f} to {ci95[1]:.4f})" if ci95 else "(no interval)"


if __name__ == "__main__":
    main()
