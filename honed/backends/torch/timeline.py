"""The memory of one training step, measured: real tensors under the tracer that plans use.

It imports torch through the tracer, so it is imported late.
"""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch

from honed.backends.base import MeasuredMemory, Residual
from honed.errors import UnsupportedError
from honed.models.torch import checkpointing
from honed.models.torch.tracer import Tracer
from honed.profile import like
from honed.timeline import MemoryKind, StepPhase, Timeline

Call = Callable[[], Any]


def timeline_of(
    module: Any, held: Mapping[MemoryKind, Iterable[Any]], call: Callable[[Any], Any]
) -> Timeline:
    """The timeline of one call, from its first phase on. `held` are tensors that were made before
    it, by kind; `call` gets a function that makes the context of a phase."""
    tracer = _tracing(module, held)
    with _without_collection(), tracer:
        call(lambda name: tracer.phase(StepPhase(name)))
        tracer.close()
    tracer.unwatch()
    timeline = tracer.timeline()
    return timeline.between(timeline.spans[0].begin, timeline.ticks)


def with_residuals(
    timeline: Timeline, module: Any, held: Mapping[MemoryKind, Iterable[Any]], loss_of: Call
) -> MeasuredMemory:
    """What a forward pass keeps, beside the timeline of a call: without checkpointing by hooks on
    saved tensors, and with each way that the model has by the tracer."""
    blocks = checkpointing.blocks_of(module)
    kept: dict[str, int] = {}
    of_block: dict[str, int] = {}
    asked = checkpointing.how_of(module)
    for how in checkpointing.hows_of(module):
        checkpointing.set_how(module, how)
        try:
            alive = _alive_after(module, held, loss_of)
        except (
            UnsupportedError
        ):  # a model that asks its blocks for something has no groups of them
            continue
        kept[how] = sum(alive.values())
        middle = blocks[len(blocks) // 2] if blocks else None
        of_block[how] = sum(
            size for name, size in alive.items() if middle and f"{name}.".startswith(f"{middle}.")
        )
    checkpointing.set_how(module, checkpointing.OFF)
    stream, residuals = _saved(module, blocks, loss_of)
    checkpointing.set_how(module, asked)
    return MeasuredMemory(
        timeline, stream_bytes=None if stream is None else int(stream.nbytes),
        stream_shape=() if stream is None else tuple(stream.shape),
        stream_dtype="" if stream is None else _dtype(stream),
        residuals=residuals, kept_bytes=kept, block_kept_bytes=of_block,
    )  # fmt: skip


def _tracing(module: Any, held: Mapping[MemoryKind, Iterable[Any]]) -> Tracer:
    tracer = Tracer()
    tracer.watch(module)
    for kind, tensors in held.items():
        for tensor in tensors:
            tracer.add(tensor, kind)
    return tracer


def _alive_after(
    module: Any, held: Mapping[MemoryKind, Iterable[Any]], loss_of: Call
) -> Counter[str]:
    """The bytes by module that a forward pass leaves alive, beside what was held before."""
    tracer = _tracing(module, held)
    try:
        with _without_collection(), tracer:
            with tracer.phase(StepPhase.FORWARD):
                loss = loss_of()
            tracer.close()
            del loss
    finally:
        tracer.unwatch()
    alive: Counter[str] = Counter()
    for block in tracer.timeline().blocks:
        if block.died is None and block.phase is StepPhase.FORWARD:
            alive[block.module] += block.size_bytes
    return alive


def _saved(module: Any, blocks: list[str], loss_of: Call) -> tuple[Any, tuple[Residual, ...]]:
    """The output of the first block, and the tensors that autograd saves. Weights are left out,
    and of tensors that share a storage all but the first."""
    seen = {p.untyped_storage().data_ptr() for p in module.parameters()}
    running, outputs, handles = [""], [], []
    counts: Counter[tuple[str, tuple[int, ...], str, int]] = Counter()
    storages = []  # held, so that no address is used twice

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            storages.append(storage)
            shape = tuple(int(n) for n in tensor.shape)
            counts[like(running[-1]), shape, _dtype(tensor), int(storage.nbytes())] += 1
        return tensor

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: running.append(name)

    def leave(name: str) -> Callable[..., None]:
        def hook(_: Any, __: Any, output: Any) -> None:
            running.pop()
            if blocks and name == blocks[0]:
                outputs.append(output[0] if isinstance(output, tuple) else output)

        return hook

    for name, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(enter(name)))
        handles.append(part.register_forward_hook(leave(name)))
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = loss_of()
            del loss
    finally:
        for handle in handles:
            handle.remove()
    residuals = [Residual(*key[:3], count, key[3]) for key, count in counts.items()]
    residuals.sort(key=lambda each: -each.count * each.size_bytes)
    return (outputs[0] if outputs else None), tuple(residuals)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Garbage in circles stays alive, as in a plan."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")
