"""A model on fake tensors: real code and real lifetimes, and no memory for any weight.

This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from honed.models.checkpoint import Checkpoint
from honed.models.presets import Preset
from honed.models.torch.meta import meta_module
from honed.models.torch.module import import_transformers
from honed.models.torch.tracer import Tracer

_READS = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.item.default,
    torch.ops.aten.is_nonzero.default,
)


class ValueNeededError(Exception):
    """The traced code branches on a number that only real data has."""


class FakeTracer(Tracer):
    """The tracer for fake tensors, which have shapes and lifetimes but no numbers.

    Every truth value is True: models ask whether a mask is full, whether positions are consecutive
    and which labels are given, and the inputs of a plan are full sequences with all their labels.
    A float is answered with 1.0; only step counters of optimizers and scales are read, and no size
    depends on them.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """torch's compiler is kept out of a mode by a wrapper, which takes a tenth of a trace.
        Plans trace eager code, so that no compiler runs."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if args and isinstance(args[0], torch._subclasses.FakeTensor):
            if func is torch.ops.prim.device.default:  # asked so often that the way there counts
                return args[0].device
            if func in _READS:
                return _answer(args[0])
            if func is torch.ops.aten.nonzero.default:
                func, args = torch.ops.aten.empty.memory_format, _shape_if_all(args[0])
                kwargs = {"dtype": torch.int64}
        return self.logged(func, args, kwargs)


def _shape_if_all(tensor: Any) -> tuple[list[int]]:
    """The arguments of `empty` for the places of a tensor's elements if all of them are true."""
    if tensor.dtype is not torch.bool:
        raise ValueNeededError("it asks which numbers are not zero")
    return ([tensor.numel(), tensor.dim()],)


def _answer(tensor: Any) -> bool | float:
    if tensor.dtype is torch.bool:
        return True
    if tensor.dtype.is_floating_point:
        return 1.0
    raise ValueNeededError("it reads a whole number from a tensor")


def fake_mode() -> Any:
    """A mode that makes every new tensor a fake one."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def fake_module(
    model: Checkpoint | Preset, task: str, dtype: str, attention: str | None, mode: Any
) -> Any:
    """The module with fake weights that claim to be on the CPU.

    They claim the CPU although a plan may be for a GPU, because the backward pass of a fake CUDA
    tensor needs torch to be built for CUDA. `honed.plan.cuda` supplies the kernels of a GPU.
    """
    module = meta_module(model, task, dtype=dtype, attention=attention)
    copies: dict[int, tuple[Any, Any]] = {}  # tied weights stay tied; the first keeps its id valid
    with mode:
        for part in module.modules():
            for tensors in (part._parameters, part._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensors[name] = _copy(tensor, copies)
    return module


def _copy(tensor: Any, copies: dict[int, tuple[Any, Any]]) -> Any:
    if id(tensor) not in copies:
        fake = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        if isinstance(tensor, torch.nn.Parameter):
            fake = torch.nn.Parameter(fake, requires_grad=tensor.requires_grad)
        copies[id(tensor)] = tensor, fake
    return copies[id(tensor)][1]


@contextlib.contextmanager
def taken_for_real() -> Iterator[None]:
    """transformers takes fake tensors for real ones inside the block.

    It asks whether a tensor is fake to find out whether a graph is being recorded, and then always
    builds attention masks. In eager code on full sequences it builds none.
    """
    import_transformers()
    from transformers.utils import import_utils

    asked = getattr(import_utils, "is_fake_tensor", None)
    if asked is None:  # a version that does not ask
        yield
        return
    import_utils.is_fake_tensor = lambda _: False
    try:
        yield
    finally:
        import_utils.is_fake_tensor = asked
