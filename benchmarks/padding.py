"""How many useful tokens per second does each padding policy give, compared with `longest`?

    python -m benchmarks.padding [--budget 15m] [--quick]

Every policy feeds the same sequences in whole turns, so the ratio of sequences per second is that
of useful tokens per second; honed compare measures it with processes in turns. The absolute
numbers come from one more process of each policy.
"""

from __future__ import annotations

import argparse

from benchmarks._common import honed_compare, honed_run

_POLICIES = {
    "longest": ("padding=longest",),
    "buckets": ("padding=buckets",),
    "buckets-of-32": ("padding=buckets", "bucket_tokens=32"),
    "sorted": ("padding=sorted",),
    "max": ("padding=max",),
}
_LENGTHS = ("lengths=lognormal(120,80)", "sequence_length=512")
_QUICK = ("lengths=8..64", "sequence_length=64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="15m", help="for each engine")
    parser.add_argument("--model", default="MiniLM-L6")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="short sequences: does it run?")
    asked = parser.parse_args()
    lengths = _QUICK if asked.quick else _LENGTHS
    engines = ("onnxruntime",) if asked.quick else ("torch", "onnxruntime")
    for engine in engines:
        shape = (f"model={asked.model}", f"backend={engine}", f"batch_size={asked.batch_size}")
        words = (*shape, *lengths, "memory=false")
        print(" ".join(words))
        _absolute(words, "0.2" if asked.quick else "5")
        _relative(words, "20s" if asked.quick else asked.budget)


def _absolute(words: tuple[str, ...], duration_s: str) -> None:
    print(f"{'policy':14} {'padding':>8} {'useful tokens/s':>16} {'tokens/s':>10}")
    for name, policy in _POLICIES.items():
        found = honed_run(*words, *policy, f"duration_s={duration_s}")
        share = found["inputs"]["padding_share"]
        useful, every = (found["metrics"][k] for k in ("useful_tokens_per_s", "tokens_per_s"))
        print(f"{name:14} {share:8.1%} {useful:16,.0f} {every:10,.0f}", flush=True)


def _relative(words: tuple[str, ...], budget: str) -> None:
    sides = [word for name, policy in _POLICIES.items() for word in (f"{name}:", *policy)]
    found = honed_compare(*words, *sides, "--metric", "throughput", "--budget", budget)
    for contrast in found["contrasts"]:
        value, ci95 = contrast["ratio"]["value"], contrast["ratio"]["ci95"]
        limits = f"{ci95[0]:.3f} to {ci95[1]:.3f}" if ci95 else "no interval"
        print(
            f"{contrast['side']:14} / {contrast['against']}: {value:.3f} ({limits}), "
            f"{contrast['verdict']}, {contrast['blocks']} processes each",
            flush=True,
        )


if __name__ == "__main__":
    main()
