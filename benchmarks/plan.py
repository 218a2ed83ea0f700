"""Do models take the memory that `honed plan` predicts, and how long does planning take?

    python -m benchmarks.plan [--quick] [--times] [--memory] [--model MODEL] [--shape 4x64]

The time and the memory that planning takes. Then five architectures, three shapes, fp32 and bf16,
inference and training, on this CPU: the peak of tensors as torch's dispatcher sees them, and what
torch's own CPU allocator gives out. The four cells of one model and shape share a process, because
tensors are counted and not the process. `--times` and `--memory` do one half alone; the second
needs no quiet machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import time
from typing import Any

from benchmarks._common import HONED

_MODELS = {
    "bert-base-uncased": "sequence-classification",
    "roberta-base": "token-classification",
    "distilbert-base-uncased": "question-answering",
    "modernbert-base": "masked-lm",
    "lm-small": "causal-lm",
}
_SHAPES = ((1, 32), (4, 64), (2, 128))
_LARGE = ("model=bert-large-uncased", "task=sequence-classification", "mode=train")
_PLANNING = {
    "bert-large, one training step": (*_LARGE, "batch_size=8", "sequence_length=512"),
    "bert-large, the same and the largest batch": (
        *_LARGE,
        "batch_size=8",
        "sequence_length=512",
        "device=cuda:16GiB",
    ),
    "bert-large, training, a grid of 40 cells": (*_LARGE, "memory=16GiB"),
    "3.4 billion parameters, one training step": ("model=lm-2.7b", "mode=train"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small models: does it run?")
    parser.add_argument("--times", action="store_true", help="only how long planning takes")
    parser.add_argument("--memory", action="store_true", help="only predicted beside measured")
    parser.add_argument("--model", action="append", choices=_MODELS, help="only these models")
    parser.add_argument("--shape", action="append", choices=[*map(_name, _SHAPES)],
                        help="only these shapes")  # fmt: skip
    asked = parser.parse_args()
    named = {model: _MODELS[model] for model in asked.model or _MODELS}
    models = {"tiny-bert": "masked-lm"} if asked.quick else named
    wanted = [shape for shape in _SHAPES if not asked.shape or _name(shape) in asked.shape]
    shapes = wanted[:1] if asked.quick else wanted
    planning = dict(itertools.islice(_PLANNING.items(), 1 if asked.quick else None))
    for title, words in ({} if asked.memory else planning).items():
        _timed(title, words)  # first, while no process has been large
    if asked.times:
        return
    began = time.perf_counter()
    worst = max(
        _verified(model, task, shape) for shape in shapes for (model, task) in models.items()
    )
    cells = 4 * len(models) * len(shapes)
    print(f"largest difference in the dispatcher's view, of {cells} cells: {worst:.3%}")
    print(f"took {time.perf_counter() - began:.0f} s")


def _name(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"


def _verified(model: str, task: str, shape: tuple[int, int]) -> float:
    """The largest difference of a phase of four cells, as a share."""
    words = (f"model={model}", f"task={task}", "mode=infer,train", "precision=fp32,bf16",
             f"batch_size={shape[0]}", f"sequence_length={shape[1]}", "device=cpu")  # fmt: skip
    command = [str(HONED), "plan", *words, "--verify", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    cells = [line["verification"] for line in lines if "verification" in line]
    assert len(cells) == 4, "two modes and two precisions"
    return max(_difference(model, cell) for cell in cells)


def _difference(model: str, found: dict[str, Any]) -> float:
    peaks = [*found["phases"].values(), found["whole"]]
    worst = max(abs(p["predicted_bytes"] / p["measured_bytes"] - 1) for p in peaks)
    settings, whole = found["settings"], found["whole"]
    narrow = "bf16" if "bfloat16" in (settings["dtype"], settings["autocast"]) else "fp32"
    allocator = whole["predicted_bytes"] / found["allocator_bytes"] - 1
    shape = f"{settings['batch_size']:>2}x{settings['sequence_length']:<4}"
    print(
        f"{model:24} {settings['mode']:6} {narrow} {shape} "
        f"predicted {whole['predicted_bytes'] / 2**20:9.1f} MiB, "
        f"measured {whole['measured_bytes'] / 2**20:9.1f} MiB, phases within {worst:.3%}, "
        f"allocator {allocator:+.2%}",
        flush=True,
    )
    return worst


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
