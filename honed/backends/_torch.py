"""What the backends that load a checkpoint with torch have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from honed.backends.base import Batch, LoadRequest, Outputs, Step
from honed.knob import Value
from honed.models.heads import input_names, output_names

_EXAMPLE_LENGTH = 16  # any length that is no special case of an operator


def load_with_head(request: LoadRequest, attention: str | None = None) -> Any:
    """The checkpoint in fp32 as a module that takes tensors in order and returns a tuple of them.

    `attention` is transformers' name of an implementation; None is the model's own choice.
    """
    from honed.models.torch.head import Head
    from honed.models.torch.module import load_module

    checkpoint = request.checkpoint
    module = load_module(checkpoint, attention=attention)
    return Head.of(module, checkpoint).eval()


def example_inputs(request: LoadRequest) -> tuple[Any, ...]:
    """Inputs to trace or export a module with: ids [2, 16], and a mask with a padded tail, so that
    masking is part of the graph."""
    import torch

    from honed.models.inputs import random_inputs

    batch = random_inputs(request.checkpoint, 2, _EXAMPLE_LENGTH, seed=0).batches[0]
    batch["attention_mask"][-1, _EXAMPLE_LENGTH - 4 :] = 0
    names = input_names(request.checkpoint)
    return tuple(torch.from_numpy(batch[name]).to(request.case.device) for name in names)


def allocator_peak(run: Callable[[Any], Any], feed: Any) -> int:
    """The most bytes allocated at once in one call on a CPU.

    The profiler's memory events come from the allocator itself, so they count compiled and traced
    code too, which a dispatch mode would not see.
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


class TensorStep(Step):
    """A Step that calls torch: feeds are tuples of tensors in order, and so are raw outputs.

    `call` takes a feed and returns the outputs; a subclass may set it later.
    """

    def __init__(self, request: LoadRequest) -> None:
        checkpoint = request.checkpoint
        self.device = request.case.device
        self.input_names = input_names(checkpoint)
        self.output_names = output_names(checkpoint.task, checkpoint.pooling)
        self.call: Callable[[Any], tuple[Any, ...]] | None = None

    def tensors(self, batch: Batch) -> tuple[Any, ...]:
        import torch

        return tuple(torch.from_numpy(batch[name]).to(self.device) for name in self.input_names)

    def run(self, feed: Any) -> tuple[Any, ...]:
        import torch

        assert self.call is not None, "prepare comes before run"
        with torch.inference_mode():
            raw = self.call(feed)
        if self.device == "cuda":
            torch.cuda.synchronize()
        return raw

    def outputs(self, raw: Any) -> Outputs:
        return {n: t.float().cpu().numpy() for n, t in zip(self.output_names, raw, strict=True)}

    def read_back(self) -> Mapping[str, Value | None]:
        import torch

        return {
            "threads": torch.get_num_threads(),
            "device": self.device,
            "isa": torch.backends.cpu.get_cpu_capability(),
        }

    def close(self) -> None:
        self.call = None
