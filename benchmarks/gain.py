"""How much faster than out of the box is the setting that honed tune finds within its budget?

    python -m benchmarks.gain [--budget 5m] [--models bert-base-uncased,MiniLM-L6] [--keep FOLDER]
                              [--quick]

Each study begins with an empty cache, as the first study of a user does, so its budget includes
all exports. FOLDER keeps the database of each study, for `honed report --study` and `honed tune
show`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._common import HONED

# The gain to reach on two cores with AVX512-VNNI, by model and objective.
_WANTED = {("bert-base-uncased", "latency"): 4.5, ("bert-base-uncased", "throughput"): 4.5,
           ("MiniLM-L6", "latency"): 4.5, ("MiniLM-L6", "throughput"): 4.5}  # fmt: skip


def tuned(
    words: list[str], fresh_cache: bool = True, keep: Path | None = None
) -> tuple[dict[str, Any], float]:
    """The last object of a study and its wall time; `keep` is the folder for its database."""
    with tempfile.TemporaryDirectory() as scratch:
        env = os.environ | ({"HONED_CACHE": f"{scratch}/cache"} if fresh_cache else {})
        command = [str(HONED), "tune", *words, "--store", f"{scratch}/records.db", "--json"]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        took_s = time.monotonic() - began
        if not done.stdout.strip():
            sys.exit(f"{' '.join(command)} gave nothing:\n{done.stderr}")
        outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if keep is not None:
            keep.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(f"{scratch}/records.db", keep)
    return outcome, took_s


def line(outcome: dict[str, Any], took_s: float) -> str:
    gain, point = outcome["gain"], outcome["point"] or {}
    low, high = gain["ci95"] or (None, None)
    limits = "no interval" if low is None else f"{low:.2f} to {high:.2f}"
    value = float("nan") if gain["value"] is None else gain["value"]
    cosine = (outcome["best_pooled"] or {}).get("cosine_min")
    setting = " ".join(f"{k}={v}" for k, v in point.items())
    return (
        f"{value:.2f}x ({limits}), cosine {cosine}, "
        f"{outcome['trials']} trials, {took_s:.0f} s: {setting}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--models", default="bert-base-uncased,MiniLM-L6")
    parser.add_argument("--objectives", default="latency,throughput")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="a tiny model: does it run?")
    asked = parser.parse_args()
    reached = True
    for model in ["tiny-bert"] if asked.quick else asked.models.split(","):
        for objective in asked.objectives.split(","):
            budget = "40s" if asked.quick else asked.budget
            words = [f"model={model}", "sequence_length=128", f"objective={objective}"]
            keep = asked.keep and asked.keep / f"{model}-{objective}.db"
            words += [f"budget={budget}", f"study={model}-{objective}"]
            outcome, took_s = tuned(words, keep=keep)
            wanted = _WANTED.get((model, objective))
            good = wanted is None or (outcome["gain"]["value"] or 0) >= wanted
            reached &= good
            print(f"{model} {objective}: {line(outcome, took_s)}"
                  f"{'' if wanted is None else f'; wanted {wanted}x'}", flush=True)  # fmt: skip
    sys.exit(0 if asked.quick or reached else 1)


if __name__ == "__main__":
    main()
