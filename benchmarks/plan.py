"""Do models take the memory that `honed plan` predicts, and how long does planning take?

    python -m benchmarks.plan [--quick]

The time and the memory that planning takes. Then five architectures, three shapes, fp32 and bf16,
inference and training, on this CPU: the peak of tensors as torch's dispatcher sees them, and what
torch's own CPU allocator gives out. Every cell is a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import time

from benchmarks._common import HONED

_MODELS = {
    "bert-base-uncased": "sequence-classification",
    "roberta-base": "token-classification",
    "distilbert-base-uncased": "question-answering",
    "modernbert-base": "masked-lm",
    "lm-small": "causal-lm",
}
_SHAPES = ((1, 32), (4, 64), (8, 128))
_LARGE = ("model=bert-large-uncased", "task=sequence-classification", "mode=train")
_PLANNING = {
    "bert-large, one training step": (*_LARGE, "batch_size=8", "sequence_length=512"),
    "bert-large, training, a grid of 40 cells": (*_LARGE, "memory=16GiB"),
    "3.4 billion parameters, one training step": ("model=lm-2.7b", "mode=train"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small models: does it run?")
    asked = parser.parse_args()
    models = {"tiny-bert": "masked-lm"} if asked.quick else _MODELS
    shapes = _SHAPES[:1] if asked.quick else _SHAPES
    planning = dict(itertools.islice(_PLANNING.items(), 1 if asked.quick else None))
    for title, words in planning.items():  # first, while no process has been large
        _timed(title, words)
    worst = 0.0
    for (model, task), mode, precision in itertools.product(
        models.items(), ("infer", "train"), ("fp32", "bf16")
    ):
        for batch_size, length in shapes:
            worst = max(worst, _verified(model, task, mode, (precision, batch_size, length)))
    print(f"largest difference in the dispatcher's view: {worst:.3%}")


def _verified(model: str, task: str, mode: str, cell: tuple[str, int, int]) -> float:
    """The largest difference of a phase, as a share."""
    precision, batch_size, length = cell
    words = (f"model={model}", f"task={task}", f"mode={mode}", f"precision={precision}",
             f"batch_size={batch_size}", f"sequence_length={length}", "device=cpu")  # fmt: skip
    command = [str(HONED), "plan", *words, "--verify", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])["verification"]
    peaks = [*found["phases"].values(), found["whole"]]
    shares = [abs(p["predicted_bytes"] / p["measured_bytes"] - 1) for p in peaks]
    whole = found["whole"]
    allocator = whole["predicted_bytes"] / found["allocator_bytes"] - 1
    print(
        f"{model:24} {mode:6} {precision} {batch_size:>2}x{length:<4} "
        f"predicted {whole['predicted_bytes'] / 2**20:9.1f} MiB, "
        f"measured {whole['measured_bytes'] / 2**20:9.1f} MiB, phases within {max(shares):.3%}, "
        f"allocator {allocator:+.2%}",
        flush=True,
    )
    return max(shares)


def _timed(title: str, words: tuple[str, ...]) -> None:
    began = time.perf_counter()
    command = [str(HONED), "plan", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - began
    if not done.stdout:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"{title}: {took:.1f} s; largest process so far {peak_kib / 2**10:,.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
