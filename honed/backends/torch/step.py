"""A module in inference mode as a Step. Feeds and outputs are tuples of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import Batch, LoadRequest, Outputs
from honed.backends.torch import buckets, memory, products, variants
from honed.backends.torch.buckets import BUCKETS, Feed
from honed.backends.torch.packed import PACKED
from honed.knob import Value


class TorchStep:
    """Any mode, in any precision."""

    def __init__(self, request: LoadRequest, folder: Path | None) -> None:
        from honed.models.heads import input_names, output_names

        checkpoint = request.checkpoint
        self._longest = checkpoint.max_positions
        self.case = request.case
        self.input_names = input_names(checkpoint)
        self.output_names = output_names(checkpoint.task, checkpoint.pooling)
        self._per_token = buckets.per_token(checkpoint)
        self._multiple = request.case.get(BUCKETS.name)
        self._calibrated = variants.calibrated_on(request)
        self._feed = Feed()
        self.runner = variants.runner(request, folder)
        self.weights_bytes = int(self.runner.facts["weights_bytes"])

    def prepare(self, batch: Batch) -> Feed:
        import torch

        rows, length = batch["input_ids"].shape
        if self._multiple is not None:
            batch = buckets.padded(batch, int(self._multiple), self._longest)
        names = self.input_names
        feed = Feed(torch.from_numpy(batch[name]).to(self.case.device) for name in names)
        feed.real = None if self._multiple is None else (rows, length)
        self.runner.prepare(feed)
        self._feed = feed
        return feed

    def run(self, feed: Feed) -> tuple[Any, ...]:
        import torch

        with torch.inference_mode():
            raw = self.runner(feed)
        if self.case.device == "cuda":
            torch.cuda.synchronize()
        if feed.real is None:
            return raw
        return buckets.cut(raw, feed.real, per_token=self._per_token)

    def outputs(self, raw: Any) -> Outputs:
        return {n: t.float().cpu().numpy() for n, t in zip(self.output_names, raw, strict=True)}

    def tensor_peak_bytes(self, feed: Feed) -> int | None:
        if self.case.device == "cuda":
            return memory.cuda_peak(self.run, feed)["allocated_peak_bytes"]
        inputs = sum(int(t.nbytes) for t in feed)
        return self.weights_bytes + inputs + memory.allocator_peak(self.run, feed)

    def device_memory(self, feed: Feed) -> Mapping[str, int]:
        """CUDA's own counters over one call; empty on a CPU."""
        return memory.cuda_peak(self.run, feed) if self.case.device == "cuda" else {}

    def read_back(self) -> Mapping[str, Value | None]:
        import torch

        with torch.inference_mode():
            found = self.runner.products(self._feed)
        facts = {name: fact for name, fact in self.runner.facts.items() if "." in name}
        return {
            "threads": torch.get_num_threads(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "precision": products.precision_of(found),
            "products": ", ".join(f"{n} {kind}" for kind, n in found.most_common()) or None,
            "device": "cuda" if self._feed[0].is_cuda else "cpu",
            "calibration": self._calibrated,
            "skips_padding": True if facts.get(PACKED.name) == "on" else None,
            "isa": torch.backends.cpu.get_cpu_capability(),
            BUCKETS.name: buckets.multiple_of(self._feed, self._multiple, self._longest),
            **facts,
            **self.runner.told(),
        }

    def close(self) -> None:
        del self.runner
