"""Buckets: batches of many shapes are padded to a few, so that few shapes are compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from honed.backends.base import Batch
from honed.knob import Knob, Value
from honed.models.checkpoint import Checkpoint
from honed.models.tasks import FEATURES

BUCKETS = Knob(
    "torch.buckets",
    "pad lengths up to a multiple of this, batches to a power of two; cut the outputs back",
    (8, 16, 32, 64, 128), scale="log2",
)  # fmt: skip
_PER_TOKEN = ("token-classification", "question-answering", "masked-lm", "causal-lm")


class Feed(tuple[Any, ...]):
    """The inputs in order. `real` is the shape before padding, to which outputs are cut."""

    real: tuple[int, int] | None = None


def shape_of(batch_size: int, length: int, multiple: int, longest: int | None) -> tuple[int, int]:
    """The padded shape; never longer than `longest`, the positions of the model."""
    rounded = -(-length // multiple) * multiple
    return 1 << (batch_size - 1).bit_length(), min(rounded, max(longest or rounded, length))


def padded(batch: Batch, multiple: int, longest: int | None) -> dict[str, Any]:
    """`batch` padded to its bucket: with masked columns, and with copies of the first sequence.

    Added rows hold a real sequence because attention over no token gives NaN, which would spoil
    ranges that are found in the call.
    """
    rows, length = batch["input_ids"].shape
    wanted = shape_of(rows, length, multiple, longest)
    bucket = {}
    for name, ids in batch.items():
        wide = np.pad(ids, ((0, 0), (0, wanted[1] - length)))
        bucket[name] = np.concatenate([wide, np.repeat(wide[:1], wanted[0] - rows, axis=0)])
    return bucket


def cut(outputs: Sequence[Any], real: tuple[int, int], *, per_token: bool) -> tuple[Any, ...]:
    """Outputs [rows, ...] or [rows, length, ...] without the padding."""
    rows, length = real
    return tuple(out[:rows, :length] if per_token else out[:rows] for out in outputs)


def per_token(checkpoint: Checkpoint) -> bool:
    """Whether outputs have a length axis."""
    unpooled = checkpoint.task == FEATURES and checkpoint.pooling == "none"
    return checkpoint.task in _PER_TOKEN or unpooled


def multiple_of(feed: Feed, multiple: Value | None, longest: int | None) -> Value | None:
    """`multiple`, if it divides the feed's length or that is the model's longest; else None."""
    if multiple is None or not feed:
        return None
    length = int(feed[0].shape[1])
    return multiple if length % int(multiple) == 0 or length == longest else None
