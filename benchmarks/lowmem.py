"""A 1.6 GiB BERT in little memory: the published strategies, `stream` and plain torch, compared.

    python -m benchmarks.lowmem [--only PART[,PART]] [--batches 1,16] [--budget 10m] [--quick]
                                [--model MODEL]

Sequences of 512 tokens, as published. The parts, each of which can be run alone on an idle
machine:

| part | what | minutes on 2 cores |
|---|---|---|
| kept | throughput of `stream` over plain torch's, in turns | the budget, for each batch |
| int8 | the same with int8 weights, and their tensor peak | the budget and 1 |
| small | the same with the small engine, in fp32 | the budget |
| table | memory and throughput of every strategy | 5 at batch 1, 12 at batch 4, 45 at batch 16 |
| cold | load and first call, the checkpoint dropped from the page cache | 4 |
| four | proportional memory of four instances over one's | 6 |
| rivals | accelerate's disk offload, if it can be imported | 3 |

For the last: `pip install --no-deps --target DIR accelerate`, then PYTHONPATH=DIR. What is running
goes to stderr, results to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._common import honed_compare, honed_run

MIB = 2**20
TORCH = ("backend=torch", "torch.attention=sdpa")
STREAM = ("backend=lowmem", "lowmem.strategy=stream")
SMALL = ("backend=lowmem", "lowmem.engine=small")
STRATEGIES = ("lazy", "keep_embedding", "chunked_embedding", "stream")

RIVAL = """
import json, sys, time
import torch
from accelerate import disk_offload
from transformers import AutoModel
from honed.instruments import memory
torch.set_num_threads(int(sys.argv[3]))
torch.nn.functional.linear(torch.randn(64, 64), torch.randn(64, 64))
model = AutoModel.from_pretrained(sys.argv[1], local_files_only=True).eval()
disk_offload(model, offload_dir=sys.argv[2], execution_device=torch.device("cpu"))
ids = torch.randint(1000, 100_000, (1, 512), generator=torch.manual_seed(1))
times = []
with torch.inference_mode():
    model(ids)
    before = memory.status()
    with memory.ResidentPeak() as peak:
        for _ in range(3):
            began = time.perf_counter()
            model(ids)
            times.append(time.perf_counter() - began)
print(json.dumps({"s": min(times), "grown": peak.total_bytes - before.rss_bytes}))
"""


class Bench:
    """`words` are common to all runs: the model, the length, the effort."""

    def __init__(self, model: str, batches: tuple[int, ...], budget: str, *, quick: bool) -> None:
        self.model, self.batches, self.budget, self.quick = model, batches, budget, quick
        length = 64 if quick else 512
        # Many short processes say more than few long ones: a call takes seconds here.
        self.words = (f"model={model}", f"sequence_length={length}", "warmup_s=2")
        self.effort = ("min_samples=2" if quick else "min_samples=3", "duration_s=0.1")
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        minutes = (time.monotonic() - self._began) / 60
        print(f"[{minutes:.1f} min] {what}", file=sys.stderr, flush=True)

    def run(self, *words: str) -> dict[str, Any]:
        self.say(" ".join(words))
        return honed_run(*self.words, *self.effort, "timeout_s=3000", *words)

    def table(self) -> None:
        """Each row is a fresh process; the rates of rows are compared by `kept`, in turns."""
        print("| strategy | batch | tensor peak | resident growth | throughput |")
        print("|---|---|---|---|---|")
        for batch in self.batches:
            ways = [TORCH, *(("backend=lowmem", f"lowmem.strategy={s}") for s in STRATEGIES)]
            for way in ways:
                record = self.run(*way, f"batch_size={batch}")
                memory, rate = record["memory"], record["metrics"]["throughput_per_s"]["value"]
                grown = (memory["rss_peak_bytes"] - memory["baseline_bytes"]) / MIB
                name = "torch" if way is TORCH else way[1].partition("=")[2]
                print(
                    f"| {name} | {batch} | {memory['tensor_peak_bytes'] / MIB:.1f} MiB | "
                    f"{grown:.0f} MiB | {rate:.3f}/s |", flush=True,
                )  # fmt: skip

    def kept(self) -> None:
        for batch in self.batches:
            self._ratio(f"stream over torch, batch {batch}", TORCH, STREAM, batch)

    def int8(self) -> None:
        self._ratio("int8 stream over fp32 torch", TORCH, (*STREAM, "precision=int8"), 1)
        memory = self.run(*STREAM, "precision=int8")["memory"]  # in a pass for itself
        print(f"int8 tensor peak: {memory['tensor_peak_bytes'] / MIB:.1f} MiB")

    def small(self) -> None:
        threads = f"threads={len(os.sched_getaffinity(0))}"
        self._ratio("small engine over torch", (*TORCH, threads), (*SMALL, threads), 1)

    def cold(self) -> None:
        """Load and first call; the weights come from the disk."""
        found: dict[str, list[float]] = {"torch": [], "stream": []}
        for _ in range(2 if self.quick else 5):
            for name, way in (("torch", TORCH), ("stream", STREAM)):
                self._drop()
                metrics = self.run(*way, "memory=false", "min_samples=1", "duration_s=0.1")[
                    "metrics"
                ]
                found[name].append(metrics["load_s"] + metrics["first_call_s"])
        for name, times in found.items():
            print(f"cold start, {name}: median {statistics.median(times):.2f} s of {times}")

    def four(self) -> None:
        ways = (("small", "kept"), ("torch", "kept"), ("small", "released"), ("torch", "released"))
        for engine, pages in ways:
            way = (*STREAM, f"lowmem.engine={engine}", f"lowmem.pages={pages}",
                   "threads=1", "oversubscribe=true")  # fmt: skip
            short = ("warmup_s=0", "min_samples=1", "duration_s=0.1")
            one, four = (self.run(*way, *short, f"instances={n}")["memory"] for n in (1, 4))
            ratio = four["pss_total_bytes"] / one["pss_total_bytes"]
            print(
                f"four instances, engine {engine}, pages {pages}: "
                f"{four['pss_total_bytes'] / MIB:.0f} MiB proportional, {ratio:.2f} times the "
                f"{one['pss_total_bytes'] / MIB:.0f} MiB of one", flush=True,
            )  # fmt: skip

    def rivals(self) -> None:
        """accelerate on the same checkpoint, and `stream` in the same way."""
        folder = self._folder()
        with tempfile.TemporaryDirectory() as offloaded:  # accelerate writes a copy of the weights
            words = [sys.executable, "-c", RIVAL, str(folder), offloaded, str(os.cpu_count() or 1)]
            done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            print(f"accelerate did not run: {done.stderr.strip().splitlines()[-1]}")
            return
        rival = json.loads(done.stdout.splitlines()[-1])
        record = self.run(*STREAM)
        memory, took = record["memory"], record["metrics"]["latency_s"]["min"]
        grown = (memory["rss_peak_bytes"] - memory["baseline_bytes"]) / MIB
        print(f"accelerate disk offload: {rival['s']:.2f} s, {rival['grown'] / MIB:.0f} MiB more")
        print(f"stream: {took:.2f} s, {grown:.0f} MiB more")

    def _ratio(
        self, what: str, first: tuple[str, ...], second: tuple[str, ...], batch: int
    ) -> None:
        self.say(f"{what}, for at most {self.budget}")
        found = honed_compare(
            *self.words, *self.effort, f"batch_size={batch}", "memory=false", "timeout_s=3000",
            "--budget", self.budget, "--metric", "throughput", "A:", *first, "B:", *second,
        )  # fmt: skip
        contrast = found["contrasts"][0]
        value, ci95 = contrast["ratio"]["value"], contrast["ratio"]["ci95"]
        interval = f"{ci95[0]:.3f} to {ci95[1]:.3f}" if ci95 else "no interval"
        print(f"{what}: {value:.3f} ({interval}), {contrast['blocks']} processes each", flush=True)

    def _folder(self) -> Path:
        from honed.models.checkpoint import ModelRequest
        from honed.models.obtain import materialise

        return materialise(ModelRequest(self.model)).folder

    def _drop(self) -> None:
        """Drop the checkpoint's pages from the page cache."""
        for path in self._folder().glob("*.safetensors"):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="short sequences, few runs")
    parser.add_argument("--model", default="bert-base-multilingual-1024")
    parser.add_argument("--only", help="parts, with commas between them")
    parser.add_argument("--batches", help="batch sizes of table and kept, as in 1,16")
    parser.add_argument("--budget", help="the most time of one comparison: 10m")
    asked = parser.parse_args()
    batches = asked.batches or ("1,2" if asked.quick else "1,2,4,8,16")
    bench = Bench(
        asked.model, tuple(int(batch) for batch in batches.split(",")),
        asked.budget or ("1m" if asked.quick else "10m"), quick=asked.quick,
    )  # fmt: skip
    parts: dict[str, Callable[[], None]] = {
        "kept": bench.kept, "int8": bench.int8, "small": bench.small, "table": bench.table,
        "cold": bench.cold, "four": bench.four, "rivals": bench.rivals,
    }  # fmt: skip
    wanted = asked.only.split(",") if asked.only else list(parts)
    if unknown := set(wanted) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    for name in wanted:
        parts[name]()
    bench.say("done")


if __name__ == "__main__":
    main()
