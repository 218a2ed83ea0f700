"""Does honed tune explain its gain, step by step?

    python -m benchmarks.steps [--budget 3m] [--models a,b] [--keep FOLDER] [--quick]

Five models x two objectives, each study with an empty cache. For each study: the gain, the product
of the steps, whether every step has a value, and how each was measured. It succeeds if every step
of every study has a value and the product is within 10 % of the gain in 9 of 10 studies.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from benchmarks.gain import line, tuned

_MODELS = "bert-base-uncased,distilbert-base-uncased,roberta-base,MiniLM-L6,electra-small"
_NEAR = math.log(1.1)
_SHARE = 0.9


def product(outcome: dict[str, Any]) -> float | None:
    """The product of the steps: 1 for the default, None if a step has no value."""
    gains = [step["gain"]["value"] for step in outcome["steps"]]
    return None if None in gains else math.prod(gains)


def is_near(outcome: dict[str, Any]) -> bool:
    """Whether the product of the steps is within 10 % of the gain."""
    gain, of_steps = outcome["gain"]["value"], product(outcome)
    return bool(gain and of_steps) and abs(math.log(of_steps / gain)) <= _NEAR


def step_line(step: dict[str, Any]) -> str:
    gain = step["gain"]
    value = "no value" if gain["value"] is None else f"{gain['value']:.3f}x"
    ends = "" if gain["ci95"] is None else " ({:.3f} to {:.3f})".format(*gain["ci95"])
    return f"  {step['key']}={step['value']}: {value}{ends}, {step['source']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--models", default=_MODELS)
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="one tiny model: does it run?")
    asked = parser.parse_args()
    outcomes = []
    for model in ["tiny-bert"] if asked.quick else asked.models.split(","):
        for objective in ("latency", "throughput"):
            budget = "40s" if asked.quick else asked.budget
            words = [f"model={model}", "sequence_length=128", f"objective={objective}"]
            words += [f"budget={budget}", f"study={model}-{objective}"]
            keep = asked.keep and asked.keep / f"{model}-{objective}.db"
            outcome, took_s = tuned(words, keep=keep)
            outcomes.append(outcome)
            of_steps = product(outcome)
            shown = "a step has no value" if of_steps is None else f"product {of_steps:.3f}x"
            print(f"{model} {objective}: {line(outcome, took_s)}; {shown}")
            for step in outcome["steps"]:
                print(step_line(step))
            for step in outcome["dropped"]:
                print(f"  not recommended:{step_line(step)}")
            sys.stdout.flush()
    near, valued = sum(map(is_near, outcomes)), sum(product(o) is not None for o in outcomes)
    turns = [s["source"] == "in turns" for o in outcomes for s in o["steps"]]
    print(f"every step has a value in {valued} of {len(outcomes)} studies; the product is within "
          f"10 % of the gain in {near}; {sum(turns)} of {len(turns)} steps were measured in "
          "turns")  # fmt: skip
    good = valued == len(outcomes) and near >= _SHARE * len(outcomes)
    sys.exit(0 if asked.quick or good else 1)


if __name__ == "__main__":
    main()
