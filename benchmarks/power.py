"""Does honed compare detect within three minutes that B is 3 % slower by a known computation?

    python -m benchmarks.power [COMPARISONS] [--quick]

The engine is ONNX Runtime on the shape of MiniLM, with a batch that takes about 20 ms. After each
call, B runs as many numpy operations as take 3 % of a call (see benchmarks/_engines.py).
"""

from __future__ import annotations

import argparse
import sys

from benchmarks._common import honed_compare
from benchmarks._engines import MODEL, batch_for, calls_for, slowed_engine

_SHARE = 0.03
_STEP_S = 0.020
_LIMIT_S = 180.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("comparisons", nargs="?", type=int, default=10)
    parser.add_argument(
        "--quick", action="store_true", help="one short comparison, to see that it runs"
    )
    arguments = parser.parse_args()
    count = 1 if arguments.quick else arguments.comparisons
    budget = "20s" if arguments.quick else f"{_LIMIT_S:.0f}s"
    detected = 0
    with slowed_engine() as env:
        batch, call_s = batch_for(_STEP_S, env)
        calls, share = calls_for(_SHARE, batch, env)
        print(f"batch {batch}: {call_s * 1e3:.1f} ms; B: {calls} operations more, {share:.2%}")
        words = (*MODEL, f"batch_size={batch}", "A:", "slowed.calls=0")
        for index in range(count):
            comparison = honed_compare(
                *words, "B:", f"slowed.calls={calls}", "--budget", budget, env=env
            )
            in_time = comparison["elapsed_s"] <= _LIMIT_S
            detected += comparison["verdict"] == "slower" and in_time
            value, ci95 = comparison["ratio"]["value"], comparison["ratio"]["ci95"]
            limits = f"{ci95[0]:.4f} to {ci95[1]:.4f}" if ci95 else "no interval"
            print(
                f"{index + 1:3}  {comparison['verdict']:9} {value:.4f} ({limits}) "
                f"{len(comparison['trials']):3} trials {comparison['elapsed_s']:4.0f} s",
                flush=True,
            )
    print(f"detected {detected} of {count} within {_LIMIT_S:.0f} s")
    sys.exit(0 if arguments.quick or detected >= 0.9 * count else 1)


if __name__ == "__main__":
    main()
