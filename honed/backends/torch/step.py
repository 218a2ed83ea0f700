"""The Step of the torch backend, for every mode and precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from honed.backends._torch import TensorStep, allocator_peak
from honed.backends.base import Batch, LoadRequest, precision_of_most
from honed.backends.torch import buckets, memory, variants
from honed.backends.torch.buckets import BUCKETS, Feed
from honed.backends.torch.packed import PACKED
from honed.knob import Value
from honed.profile import OperatorEvent


class TorchStep(TensorStep):
    """A runner of a mode, fed with padded batches if buckets are asked for."""

    def __init__(self, request: LoadRequest, folder: Path | None) -> None:
        super().__init__(request)
        checkpoint = request.checkpoint
        self._longest = checkpoint.max_positions
        self._per_token = buckets.per_token(checkpoint)
        self._multiple = request.case.get(BUCKETS.name)
        self._calibration = request.read_back_calibration(used=variants.is_calibrated(request))
        self._feed = Feed()
        self.runner = variants.runner(request, folder)
        self.call = self.runner
        self.weights_bytes = int(self.runner.facts["weights_bytes"])

    def prepare(self, batch: Batch) -> Feed:
        rows, length = batch["input_ids"].shape
        if self._multiple is not None:
            batch = buckets.padded(batch, int(self._multiple), self._longest)
        feed = Feed(self.tensors(batch))
        feed.real = None if self._multiple is None else (rows, length)
        self.runner.prepare(feed)
        self._feed = feed
        return feed

    def run(self, feed: Feed) -> tuple[Any, ...]:
        raw = super().run(feed)
        if feed.real is None:
            return raw
        return buckets.cut(raw, feed.real, per_token=self._per_token)

    def tensor_peak_bytes(self, feed: Feed) -> int | None:
        if self.device == "cuda":
            return memory.cuda_peak(self.run, feed)["allocated_peak_bytes"]
        inputs = sum(int(t.nbytes) for t in feed)
        return self.weights_bytes + inputs + allocator_peak(self.run, feed)

    def profile(self, feed: Feed) -> Sequence[OperatorEvent]:
        from honed.backends.torch.profiling import profile_call

        module = getattr(self.runner, "module", None)
        plain = module if self.runner.read_back().get("torch.mode") == "eager" else None
        return profile_call(lambda: self.run(feed), plain)

    def device_memory(self, feed: Feed) -> Mapping[str, int]:
        """CUDA's own counters over one call; empty on a CPU."""
        return memory.cuda_peak(self.run, feed) if self.device == "cuda" else {}

    def read_back(self) -> Mapping[str, Value | None]:
        import torch

        with torch.inference_mode():
            counts = self.runner.products(self._feed)
        knobs = {name: fact for name, fact in self.runner.facts.items() if "." in name}
        return {
            **super().read_back(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "precision": precision_of_most(counts.elements()),
            "products": ", ".join(f"{n} {kind}" for kind, n in counts.most_common()) or None,
            "device": "cuda" if self._feed[0].is_cuda else "cpu",
            "calibration": self._calibration,
            "skips_padding": True if knobs.get(PACKED.name) == "on" else None,
            BUCKETS.name: buckets.multiple_of(self._feed, self._multiple, self._longest),
            **knobs,
            **self.runner.read_back(),
        }

    def close(self) -> None:
        super().close()
        del self.runner
