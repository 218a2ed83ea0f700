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
