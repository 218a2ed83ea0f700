"""What a training step of torch is made of: its settings, its module and its feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.backends.base import Batch, LoadRequest
from honed.backends.torch import compiled_attention, optimizers
from honed.backends.torch.labels import labels_for
from honed.case import Case
from honed.errors import OutOfMemoryError, UnsupportedError
from honed.machine import limits
from honed.models.heads import input_names
from honed.step import FORWARD, OPTIMIZER, PHASES

_PRECISIONS = ("fp32", "bf16", "fp16")
_MODES = ("eager", "compile")
_SIXTEEN_BITS = ("float16", "bfloat16")  # as a checkpoint's configuration spells its type
_MIB = 2**20


class Feed(tuple[Any, ...]):
    """The inputs and labels as tensors; `parts` are the same, split for accumulation: each holds
    the inputs by name, and the labels by name."""

    parts: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = ()


def check(case: Case) -> None:
    """Raise UnsupportedError for settings that no training step has."""
    if case.precision not in _PRECISIONS:
        raise UnsupportedError(
            f"torch trains in {' or '.join(_PRECISIONS)} here, not in {case.precision}",
            f"precision={','.join(_PRECISIONS)}",
        )
    if (mode := case.get("torch.mode") or "eager") not in _MODES:
        raise UnsupportedError(
            f"torch.mode={mode} has no backward pass", f"torch.mode={','.join(_MODES)}"
        )
    for name in ("torch.packed", "torch.buckets", "torch.freezing", "torch.max_autotune"):
        if case.get(name) not in (None, "off"):
            raise UnsupportedError(f"{name} is for inference", f"drop {name}")
    compiled_attention.check(case)
    if mode == "compile" and case.get("checkpointing") == "nested":
        raise UnsupportedError(
            "torch.compile does not see the groups of nested checkpointing",
            "torch.mode=eager, or checkpointing=blocks",
        )
    parts = int(case.get("accumulation_steps") or 1)
    if case.batch_size % parts:
        raise UnsupportedError(
            f"batch_size={case.batch_size} cannot be split into {parts} equal parts",
            f"accumulation_steps={_largest_divisor(case.batch_size, parts)}",
        )
    optimizers.check(case)


def _largest_divisor(number: int, limit: int) -> int:
    return max(n for n in range(1, limit + 1) if number % n == 0)


def module_of(request: LoadRequest) -> Any:
    """The model in training mode. Its weights are copied out of the checkpoint's map, which the
    optimizer would otherwise copy page by page in the first step."""
    import torch

    from honed.models.torch.module import load_module

    case = request.case
    asked = case.get("torch.attention")
    attention = None if asked is None else str(asked)
    if compiled_attention.asked(case):
        attention = compiled_attention.register()
    module = load_module(request.checkpoint, attention=attention)
    kind = torch.bfloat16 if _has_bf16_weights(case) else torch.float32
    for parameter in module.parameters():
        parameter.data = parameter.data.to(case.device, kind, copy=True)
    for buffer in module.buffers():
        buffer.data = buffer.data.to(case.device)
    if (how := str(case.get("checkpointing") or "off")) != "off":
        from honed.models.torch import checkpointing

        checkpointing.set_how(module, how)
    return module.train()


def _has_bf16_weights(case: Case) -> bool:
    return case.precision == "bf16" and case.get("torch.bf16") == "weights"


def refuse_what_cannot_fit(request: LoadRequest) -> None:
    """Weights, gradients and the state of the optimizer, before anything is allocated."""
    case, until = request.case, request.case.get("until") or PHASES[-1]
    copies = 1 + (until != FORWARD)
    copies += optimizers.state_copies(case) if until == OPTIMIZER else 0
    needed, free = copies * _weights_bytes(request), limits.free_bytes()
    if case.device == "cpu" and free is not None and needed > free:
        raise OutOfMemoryError(
            f"weights, gradients and optimizer state take {needed // _MIB:,} MiB, and "
            f"{free // _MIB:,} MiB are free",
            "until=forward, optimizer=sgd or a smaller model",
        )


def _weights_bytes(request: LoadRequest) -> int:
    """What the weights take as they are trained: bf16 ones half of what a file of fp32 holds."""
    checkpoint = request.checkpoint
    stored = str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype"))
    is_halved = _has_bf16_weights(request.case) and stored not in _SIXTEEN_BITS
    return checkpoint.weights_bytes // 2 if is_halved else checkpoint.weights_bytes


def feed_of(request: LoadRequest, batch: Batch) -> Feed:
    """The batch with labels, in as many parts as gradients are accumulated over."""
    import torch

    case, names = request.case, input_names(request.checkpoint)
    inputs = {name: torch.from_numpy(batch[name]).to(case.device) for name in names}
    labels = labels_for(request.checkpoint, inputs, case.seed)
    feed = Feed((*inputs.values(), *labels.values()))
    count = int(case.get("accumulation_steps") or 1)
    split = [
        [dict(zip(tensors, part, strict=True)) for part in _split(tensors, count)]
        for tensors in (inputs, labels)
    ]
    feed.parts = tuple(zip(split[0], split[1] or [{}] * count, strict=True))
    return feed


def _split(tensors: Mapping[str, Any], count: int) -> list[tuple[Any, ...]]:
    """The rows of all tensors in `count` equal parts."""
    if not tensors:
        return []
    return list(zip(*(tensor.chunk(count) for tensor in tensors.values()), strict=True))


def joined(feed: Feed) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parts of a feed as one."""
    import torch

    def join(parts: list[dict[str, Any]]) -> dict[str, Any]:
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    return join([p[0] for p in feed.parts]), join([p[1] for p in feed.parts])
