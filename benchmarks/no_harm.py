"""Is the recommendation of honed tune ever slower than the default?

    python -m benchmarks.no_harm [--budget 3m] [--quick]

Five models x two objectives. The gain is that of the last measurement, in turns with the default;
a setting does harm if the whole interval lies below 1.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.gain import line, tuned

_MODELS = (
    *("bert-base-uncased", "distilbert-base-uncased", "roberta-base", "minilm-l6"),
    "electra-small",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--quick", action="store_true", help="one tiny model: does it run?")
    asked = parser.parse_args()
    harm = count = 0
    for model in ("tiny-bert",) if asked.quick else _MODELS:
        for objective in ("latency", "throughput"):
            budget = "40s" if asked.quick else asked.budget
            words = [f"model={model}", f"objective={objective}", f"budget={budget}"]
            outcome, took_s = tuned(words, fresh_cache=False)
            limits = outcome["gain"]["ci95"]
            harm += limits is not None and limits[1] < 1
            count += 1
            print(f"{model} {objective}: {line(outcome, took_s)}", flush=True)
    print(f"harm in {harm} of {count}")
    sys.exit(1 if harm else 0)


if __name__ == "__main__":
    main()
