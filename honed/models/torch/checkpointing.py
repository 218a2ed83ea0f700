"""Activation checkpointing: what a block needs for its backward pass is computed again, not kept.

"blocks" keeps the input of each block. "nested" puts neighbouring blocks into groups: the input of
each group is kept, and while a group is computed again, the inputs of its blocks. With groups of
the square root of the number of blocks, about twice that many tensors are kept in place of one for
each block, for a third forward pass (Chen et al. 2016, "Training deep nets with sublinear memory
cost", section 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from honed.errors import UnsupportedError

OFF, BLOCKS, NESTED = HOWS = ("off", "blocks", "nested")
# Makes the contexts of torch.utils.checkpoint: of the forward pass, and of computing it again.
Contexts = Callable[[], tuple[Any, Any]]


class GroupedBlocks(torch.nn.ModuleList):  # type: ignore[misc]  # torch is not type-checked here
    """A list of blocks that a model runs through in groups; the names of its parts stay.

    A model that iterates over it, or over a slice of it, gets groups and calls each as a block.
    """

    group_size: int
    options: Mapping[str, Any]  # of torch.utils.checkpoint

    def __iter__(self) -> Iterator[Any]:
        return iter(self._groups(list(self._modules.values())))

    def __getitem__(self, index: Any) -> Any:
        blocks = list(self._modules.values())
        return self._groups(blocks[index]) if isinstance(index, slice) else blocks[index]

    def _groups(self, blocks: Sequence[Any]) -> list[_Group]:
        size = self.group_size
        return [_Group(blocks[at : at + size], self.options) for at in range(0, len(blocks), size)]


class _Group:
    """Neighbouring blocks, called as one."""

    def __init__(self, blocks: Sequence[Any], options: Mapping[str, Any]) -> None:
        self._blocks, self._options = blocks, options

    def __call__(self, hidden: Any, *others: Any, **named: Any) -> Any:
        def run(entering: Any) -> Any:
            output = entering
            for block in self._blocks:
                given = output[0] if isinstance(output, tuple) else output
                output = block(given, *others, **named)
            return output

        if not self._blocks[0].training:  # as transformers does for single blocks
            return run(hidden)
        return checkpoint(run, hidden, **self._options)

    def __getattr__(self, name: str) -> Any:
        raise UnsupportedError(
            f"this model asks each block for its {name}, so its blocks cannot be put into groups",
            "checkpointing=blocks",
        )


def blocks_of(module: Any) -> list[str]:
    """The names of the equal blocks that the model is a stack of: its longest list of modules."""
    found = _longest_list(module)
    return [] if found is None else [f"{found[0]}.{index}" for index in range(len(found[1]))]


def hows_of(module: Any) -> tuple[str, ...]:
    """The ways in which this model can be checkpointed."""
    return HOWS if module.supports_gradient_checkpointing else (OFF,)


def how_of(module: Any) -> str:
    """The way that is in force."""
    if any(isinstance(part, GroupedBlocks) for part in module.modules()):
        return NESTED
    is_on = any(getattr(part, "gradient_checkpointing", False) for part in module.modules())
    return BLOCKS if is_on else OFF


def set_how(module: Any, how: str, contexts: Contexts | None = None) -> None:
    """Checkpoint the module in this way; UnsupportedError if its class cannot be checkpointed."""
    options: dict[str, Any] = {"use_reentrant": False}
    if contexts is not None:
        options["context_fn"] = contexts
    if how not in hows_of(module):
        raise UnsupportedError(
            f"{module.config.model_type} has no activation checkpointing", "checkpointing=off"
        )
    if not module.supports_gradient_checkpointing:
        return
    for part in module.modules():
        if isinstance(part, GroupedBlocks):
            part.__class__ = torch.nn.ModuleList
    _keep_block_inputs(module, options if how != OFF else None)
    if how == NESTED:
        found = _longest_list(module)
        if found is None:
            raise UnsupportedError("this model is no stack of blocks", "checkpointing=blocks")
        blocks = found[1]
        blocks.group_size, blocks.options = math.ceil(math.sqrt(len(blocks))), options
        blocks.__class__ = GroupedBlocks


def _keep_block_inputs(module: Any, options: Mapping[str, Any] | None) -> None:
    """transformers does this, under another name before its version 5.20; None: nothing is
    computed again."""
    is_new = hasattr(module, "activation_checkpointing_enable")
    name = f"{'activation' if is_new else 'gradient'}_checkpointing"
    if options is None:
        getattr(module, f"{name}_disable")()
    else:
        getattr(module, f"{name}_enable")(options)


def _longest_list(module: Any) -> tuple[str, Any] | None:
    lists = [
        (name, part)
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.ModuleList)
    ]
    return max(lists, key=lambda pair: len(pair[1]), default=None)
