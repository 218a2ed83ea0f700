"""A 1.6 GiB BERT in little memory: the published strategies, `stream` and plain torch, compared.

    python -m benchmarks.lowmem [--quick] [--only PART] [--model MODEL]

Parts: `table` (memory and throughput of every strategy at every batch size), `kept` (throughput
of `stream` over plain torch's, in turns, until the interval is narrow), `int8`, `cold` (load and
first call with the checkpoint dropped from the page cache), `four` (proportional memory of four
instances over one's) and `rivals` (accelerate's disk offload, if it can be imported: `pip install
--no-deps --target DIR accelerate`, then PYTHONPATH=DIR). Sequences of 512 tokens, as published.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._common import honed_compare, honed_run

MIB = 2**20
TORCH = ("backend=torch", "torch.attention=sdpa")
STREAM = ("backend=lowmem", "lowmem.strategy=stream")
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

    def __init__(self, model: str, quick: bool) -> None:
        self.model, self.quick = model, quick
        length = 64 if quick else 512
        self.words = (f"model={model}", f"sequence_length={length}", "warmup_s=3")
        self.effort = ("min_samples=2", "duration_s=0.1") if quick else ("min_samples=5",)
        self.batches = (1, 2) if quick else (1, 2, 4, 8, 16)
        self.budget = "1m" if quick else "20m"

    def run(self, *words: str) -> dict[str, Any]:
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
        for batch in (self.batches[0], self.batches[-1]):
            self._ratio(f"stream over torch, batch {batch}", TORCH, STREAM, batch)

    def int8(self) -> None:
        self._ratio("int8 stream over fp32 torch", TORCH, (*STREAM, "precision=int8"), 1)
        memory = self.run(*STREAM, "precision=int8")["memory"]
        print(f"int8 tensor peak: {memory['tensor_peak_bytes'] / MIB:.1f} MiB")

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
        ways = (("torch", "released"), ("torch", "kept"), ("small", "released"), ("small", "kept"))
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
        found = honed_compare(
            *self.words, *self.effort, f"batch_size={batch}", "memory=false", "timeout_s=3000",
            "--budget", self.budget, "--metric", "throughput", "A:", *first, "B:", *second,
        )  # fmt: skip
        value, ci95 = found["ratio"]["value"], found["ratio"]["ci95"]
        interval = f"{ci95[0]:.3f} to {ci95[1]:.3f}" if ci95 else "no interval"
        print(f"{what}: {value:.3f} ({interval})", flush=True)

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
    parser.add_argument("--only", choices=("table", "kept", "int8", "cold", "four", "rivals"))
    asked = parser.parse_args()
    bench = Bench(asked.model, asked.quick)
    parts: dict[str, Callable[[], None]] = {
        "table": bench.table, "kept": bench.kept, "int8": bench.int8, "cold": bench.cold,
        "four": bench.four, "rivals": bench.rivals,
    }  # fmt: skip
    for name, part in parts.items():
        if asked.only in (None, name):
            part()


if __name__ == "__main__":
    main()
