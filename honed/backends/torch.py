"""PyTorch: eager, compiled, or traced; the reference that every engine is held against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import Batch, LoadRequest, Outputs, installed, refuse
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Availability, Knob, Value
from honed.machine.facts import package_versions

HELP = "PyTorch: eager, torch.compile or TorchScript (retired upstream; kept working here)"
EXTRA = "torch"
REFERENCE = "torch"
PRECISIONS = ("fp32", "bf16", "int8")

MODE = Knob(
    name="torch.mode",
    help="how the module runs: eager, torch.compile, or a traced and frozen TorchScript",
    values=("eager", "compile", "torchscript"),
)
ATTENTION = Knob(
    name="torch.attention",
    help="attention in separate operators (eager) or fused (sdpa)",
    values=("eager", "sdpa"),
)
KNOBS = (MODE, ATTENTION)


def available() -> Availability:
    return installed({"torch": "torch", "transformers": "transformers"}, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("torch", "transformers"))


def check(case: Case) -> None:
    refuse(case, "torch", PRECISIONS)
    mode = case.get("torch.mode")
    if case.precision == "int8" and mode == "compile":
        raise UnsupportedError(
            "torch's dynamic int8 modules cannot be compiled", "torch.mode=eager or torchscript"
        )
    if case.precision == "int8" and case.device == "cuda":
        raise UnsupportedError("torch's dynamic int8 runs on CPUs only", "device=cpu")


def start() -> None:
    from transformers import AutoModel  # noqa: F401 - it imports torch, and takes longer than it


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    """Nothing is exported: the checkpoint itself is mapped."""
    return None


def build(_: LoadRequest, __: Path) -> None:
    """Nothing to build."""


def load(request: LoadRequest, _: Path | None) -> TorchStep:
    import torch

    case = request.case
    if case.device == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError("torch sees no CUDA device", "device=cpu")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
        if torch.get_num_interop_threads() != 1:  # it may be set once in a process
            torch.set_num_interop_threads(1)
    return TorchStep(request)


class TorchStep:
    """A module in inference mode. Feeds and outputs are tuples of tensors."""

    def __init__(self, request: LoadRequest) -> None:
        from honed.models.heads import input_names, output_names, wrap
        from honed.models.torch_module import load_module

        self.case = request.case
        checkpoint = request.checkpoint
        attention = self.case.get("torch.attention")
        module = load_module(checkpoint, attention=str(attention) if attention else None)
        self._attention = getattr(module.config, "_attn_implementation", None)
        module = wrap(module, checkpoint.task, checkpoint.pooling).eval()
        module = _in_precision(module, self.case.precision).to(self.case.device)
        self.module = module
        self.weights_bytes = _weights_bytes(module)
        self.input_names = input_names(checkpoint)
        self.output_names = output_names(checkpoint.task, checkpoint.pooling)
        self._mode = str(self.case.get("torch.mode") or "eager")
        self._call: Any = _compiled(module) if self._mode == "compile" else module

    def prepare(self, batch: Batch) -> Any:
        import torch

        feed = tuple(torch.from_numpy(batch[n]).to(self.case.device) for n in self.input_names)
        if self._mode == "torchscript" and not isinstance(self._call, torch.jit.ScriptModule):
            self._call = _traced(self.module, feed)
        return feed

    def run(self, feed: Any) -> Any:
        import torch

        with torch.inference_mode():
            raw = self._call(*feed)
        if self.case.device == "cuda":
            torch.cuda.synchronize()
        return raw

    def outputs(self, raw: Any) -> Outputs:
        return {n: t.float().cpu().numpy() for n, t in zip(self.output_names, raw, strict=True)}

    def tensor_peak_bytes(self, feed: Any) -> int | None:
        if self.case.device == "cuda":
            return _cuda_peak(self.run, feed)["allocated_peak_bytes"]
        inputs = sum(int(t.nbytes) for t in feed)
        return self.weights_bytes + inputs + _allocator_peak(self.run, feed)

    def device_memory(self, feed: Any) -> Mapping[str, int]:
        """CUDA's own counters over one call; empty on a CPU."""
        return _cuda_peak(self.run, feed) if self.case.device == "cuda" else {}

    def read_back(self) -> Mapping[str, Value | None]:
        import torch

        return {
            "threads": torch.get_num_threads(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "precision": _precision_of(self.module),
            "device": "cuda" if next(iter(self.module.buffers())).is_cuda else "cpu",
            MODE.name: _mode_of(self._call),
            ATTENTION.name: self._attention,
            "isa": torch.backends.cpu.get_cpu_capability(),
        }

    def close(self) -> None:
        del self._call, self.module


def _in_precision(module: Any, precision: str) -> Any:
    import torch

    if precision == "bf16":
        return module.to(torch.bfloat16)
    if precision == "int8":
        # A scale per output channel, not per matrix: on the real MiniLM the least cosine of short
        # texts rises from 0.91 to 0.96, at the same speed.
        scales = torch.ao.quantization.per_channel_dynamic_qconfig
        return torch.ao.quantization.quantize_dynamic(
            module, {torch.nn.Linear: scales}, dtype=torch.qint8, inplace=True
        )
    return module


def _compiled(module: Any) -> Any:
    import torch

    # One graph per shape: honed measures fixed shapes, and symbolic ones run slower on CPUs.
    return torch.compile(module, dynamic=False)


def _traced(module: Any, feed: Any) -> Any:
    import torch

    with torch.inference_mode():
        traced = torch.jit.trace(module, feed, check_trace=False, strict=False)
        return torch.jit.freeze(traced)


def _packed(module: Any) -> list[Any]:
    """The weight and bias tensors of the dynamically quantised linear layers in `module`."""
    import torch

    kind = torch.ao.nn.quantized.dynamic.Linear
    return [
        t
        for m in module.modules()
        if isinstance(m, kind)
        for t in (m.weight(), m.bias())
        if t is not None
    ]


def _weights_bytes(module: Any) -> int:
    plain = sum(int(p.nbytes) for p in module.parameters())  # tied ones are yielded once
    return plain + sum(int(t.numel()) * int(t.element_size()) for t in _packed(module))


def _precision_of(module: Any) -> str | None:
    import torch

    if _packed(module):
        return "int8"
    names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    found = {p.dtype for p in module.parameters()}
    return names.get(found.pop()) if len(found) == 1 else None


def _mode_of(call: Any) -> str:
    import torch

    if isinstance(call, torch.jit.ScriptModule):
        return "torchscript"
    return "compile" if hasattr(call, "_orig_mod") else "eager"


def _allocator_peak(run: Any, feed: Any) -> int:
    """The most bytes alive in one call, summed from the CPU allocator's own reports.

    The profiler's memory events come from the allocator itself, so compiled and traced code is
    counted too, which a dispatch mode would not see.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        raw = run(feed)
    del raw
    live = peak = 0
    for event in prof.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    return peak


def _cuda_peak(run: Any, feed: Any) -> dict[str, int]:
    import torch

    torch.cuda.reset_peak_memory_stats()
    run(feed)
    return {
        "allocated_peak_bytes": torch.cuda.max_memory_allocated(),
        "reserved_peak_bytes": torch.cuda.max_memory_reserved(),
    }
