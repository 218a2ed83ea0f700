"""One attention operator of torch, alone: [batch, heads, length, width] queries, keys, values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from honed.backends.base import Batch, LeastTime, LoadRequest, Outputs, SelfCheck, Step
from honed.backends.torch import attention_kernels, memory, phases
from honed.backends.torch.attention_peak import KEEP_SCORES, peak_bytes
from honed.case import Case
from honed.errors import OutOfMemoryError, UnsupportedError
from honed.knob import Value
from honed.machine import limits
from honed.profile import OperatorEvent
from honed.step import BACKWARD, FORWARD, OPTIMIZER, Phased

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_SMALL_LENGTH = 64  # of the problem by which an implementation is judged
_WRITES = 3  # of which the fastest counts
_MIB = 2**20


class Feed(tuple[Any, ...]):
    """Queries, keys and values, and the gradient of the output."""


class AttentionStep(Step):
    """Calls one implementation; with a backward pass unless `until` is forward."""

    def __init__(self, request: LoadRequest) -> None:
        case = request.case
        _check(case)
        self._case = case
        self._device = case.device
        self._name = str(case.get("attention") or "naive")
        self._backward = case.get("until") != FORWARD
        self._causal = case.get("causal") == "on"
        self._heads = int(case.get("num_heads") or 1)
        self._width = int(case.get("d_model") or 64) // self._heads
        self._refuse_what_cannot_fit()
        self._compute = attention_kernels.implementation(
            self._name, case.device, causal=self._causal
        )
        if ":" in self._name:
            small = self._tensors((1, self._heads, _SMALL_LENGTH, self._width), case.seed)
            attention_kernels.try_out(self._name, self._compute, *small[:3])
        self.weights_bytes = 0

    def _refuse_what_cannot_fit(self) -> None:
        """The closed form of the peak, before anything is allocated."""
        peak, free = peak_bytes(self._case), free_bytes(self._device)
        if free is None or peak <= free:
            return
        fused = "attention=sdpa, or " if self._name in KEEP_SCORES else ""
        takes = "may take" if self._name == "compile" else "takes"
        raise OutOfMemoryError(
            f"attention={self._name} {takes} {peak / 2**30:,.1f} GiB at its peak for "
            f"{self._case.batch_size} x {self._case.sequence_length}, by its closed form, and "
            f"{free / 2**30:,.1f} GiB are free: it was not tried",
            f"{fused}a smaller batch_size or sequence_length",
        )

    def prepare(self, batch: Batch) -> Feed:
        rows, length = batch["attention_mask"].shape
        return self._tensors((rows, self._heads, length, self._width), self._case.seed)

    def _tensors(self, shape: tuple[int, ...], seed: int) -> Feed:
        import torch

        dtype = getattr(torch, _DTYPES[self._case.precision])
        random = torch.Generator().manual_seed(seed)
        tensors = [torch.randn(shape, generator=random).to(self._device, dtype) for _ in range(4)]
        for tensor in tensors[:3]:
            tensor.requires_grad_(self._backward)
        return Feed(tensors if self._backward else tensors[:3])

    def run(self, feed: Feed) -> Phased:
        import torch

        clock = phases.PhaseClock(self._device)
        query, key, value, *gradient = feed
        with torch.set_grad_enabled(self._backward):
            with clock.phase(FORWARD):
                output = self._compute(query, key, value)
            if self._backward:
                with clock.phase(BACKWARD):
                    output.backward(gradient[0])
        for tensor in (query, key, value):
            tensor.grad = None
        return Phased(clock.taken_ns)

    def outputs(self, raw: Any) -> Outputs:  # noqa: ARG002
        """Only times come out of a call; `self_check` judges what it computes."""
        return {}

    def self_check(self) -> SelfCheck:
        """The output and the gradients of a small problem, beside naive attention in fp32."""
        length = min(_SMALL_LENGTH, self._case.sequence_length)
        feed = self._tensors((1, self._heads, length, self._width), self._case.seed)
        wide = Feed(
            tensor.detach().float().requires_grad_(tensor.requires_grad) for tensor in feed
        )
        plain = attention_kernels.naive(causal=self._causal)
        return SelfCheck(
            self._arrays(self._compute, feed), self._arrays(plain, wide), "naive attention in fp32"
        )

    def _arrays(self, compute: attention_kernels.Attention, feed: Feed) -> dict[str, Any]:
        import torch

        query, key, value, *gradient = feed
        with torch.set_grad_enabled(self._backward):
            output = compute(query, key, value)
        tensors = {"output": output}
        if self._backward:
            output.backward(gradient[0].to(output.dtype))
            tensors |= {"query": query.grad, "key": key.grad, "value": value.grad}
        # One row for each head, because single tokens may have tiny gradients.
        return {
            name: tensor.detach().float().flatten(2).flatten(0, 1).cpu().numpy()
            for name, tensor in tensors.items()
        }

    def least_call_s(self, feed: Feed) -> LeastTime:
        """Writing the output; and the scores, where they are a tensor of their own."""
        query = feed[0]
        rows, heads, length, _ = query.shape
        scores = (rows, heads, length, length)
        has_scores = self._name == "naive"
        written = query.new_empty(scores if has_scores else query.shape)
        best_ns = math.inf
        for _ in range(_WRITES):
            stop = phases.start_clock(self._device)
            written.fill_(1.0)
            best_ns = min(best_ns, stop())
        size = f"{written.nbytes / _MIB:,.1f} MiB"
        what = "tensor of scores" if has_scores else "output"
        return LeastTime(best_ns / 1e9, f"writing one {what} of {size}")

    def tensor_peak_bytes(self, feed: Feed) -> int | None:
        if self._device == "cuda":
            return self.device_memory(feed)["allocated_peak_bytes"]
        return _bytes(feed) + phases.live_bytes(lambda: self.run(feed))[0]

    def after_phase_bytes(self, feed: Feed) -> Mapping[str, int]:
        if self._device == "cuda":
            return {}
        after = phases.live_bytes(lambda: self.run(feed))[1]
        return {phase: _bytes(feed) + size for phase, size in after.items()}

    def profile(self, feed: Feed) -> Sequence[OperatorEvent]:
        from honed.backends.torch.profiling import profile_call

        return profile_call(lambda: self.run(feed), None)

    def device_memory(self, feed: Feed) -> Mapping[str, int]:
        return memory.cuda_peak(self.run, feed) if self._device == "cuda" else {}

    def read_back(self) -> Mapping[str, Value | None]:
        import torch

        small = self._tensors((1, self._heads, _SMALL_LENGTH, self._width), 0)
        kernels = attention_kernels.kernels_of(lambda: self.run(small))
        names = {v: k for k, v in _DTYPES.items()}
        asked = self._name
        in_force: str | None = asked
        if asked in attention_kernels.NAMED:
            in_force = asked if asked in kernels else None
        return {
            "threads": torch.get_num_threads(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "isa": torch.backends.cpu.get_cpu_capability(),
            "device": small[0].device.type,
            "precision": names.get(str(small[0].dtype).removeprefix("torch.")),
            "attention": in_force,
            "kernel": ", ".join(kernels) or None,
            "d_model": self._width * self._heads,
            "num_heads": self._heads,
            "causal": "on" if self._causal else "off",
            "until": BACKWARD if self._backward else FORWARD,
            "predicted_peak_bytes": peak_bytes(self._case),
        }

    def close(self) -> None:
        del self._compute


def _check(case: Case) -> None:
    """Raise UnsupportedError for settings that the operator does not have."""
    if case.precision not in _DTYPES:
        raise UnsupportedError(
            f"attention has no {case.precision} here", f"precision={','.join(_DTYPES)}"
        )
    if case.get("until") == OPTIMIZER:
        raise UnsupportedError("attention alone has no optimizer", "until=forward,backward")
    heads, width = int(case.get("num_heads") or 1), int(case.get("d_model") or 64)
    if width % heads:
        raise UnsupportedError(
            f"{heads} heads cannot share d_model={width} evenly", "num_heads=1, or another d_model"
        )
    flex = case.get("attention") == "flex"
    if flex and case.device == "cpu" and case.get("until") != FORWARD:
        raise UnsupportedError("torch's flex attention has no backward pass on CPUs",
                               "until=forward")  # fmt: skip


def free_bytes(device: str) -> int | None:
    if device != "cuda":
        return limits.free_bytes()
    import torch

    return int(torch.cuda.mem_get_info()[0])


def _bytes(feed: Feed) -> int:
    return sum(int(tensor.nbytes) for tensor in feed)
