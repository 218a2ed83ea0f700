"""Buckets: batches of many shapes padded up to few, so that each is compiled once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from honed.backends.base import Batch
from honed.knob import Knob, Value
from honed.models.checkpoint import Checkpoint
from honed.models.tasks import FEATURES

BUCKETS = Knob(
    name="torch.buckets",
    help="pad lengths up to a multiple of this, batches to a power of two; cut the outputs back",
    values=(8, 16, 32, 64, 128),
    scale="log2",
)
_PER_TOKEN = ("token-classification", "question-answering", "masked-lm", "causal-lm")


class Feed(tuple[Any, ...]):
    """The inputs in order. `real` is the shape that the outputs are cut back to."""

    real: tuple[int, int] | None = None


def shape_of(batch_size: int, length: int, multiple: int, longest: int | None) -> tuple[int, int]:
    """The bucket of a shape; never longer than the model has positions."""
    rounded = -(-length // multiple) * multiple
    return 1 << (batch_size - 1).bit_length(), min(rounded, max(longest or rounded, length))


def padded(batch: Batch, multiple: int, longest: int | None) -> dict[str, Any]:
    """`batch` in its bucket: masked columns, and the first sequence again in rows to spare.

    A row without any real token would be a row of NaN, which dynamic ranges would not survive.
    """
    rows, length = batch["input_ids"].shape
    wanted = shape_of(rows, length, multiple, longest)
    found = {}
    for name, ids in batch.items():
        wide = np.pad(ids, ((0, 0), (0, wanted[1] - length)))
        found[name] = np.concatenate([wide, np.repeat(wide[:1], wanted[0] - rows, axis=0)])
    return found


def cut(outputs: Sequence[Any], real: tuple[int, int], *, per_token: bool) -> tuple[Any, ...]:
    """The outputs [rows, ...] or [rows, length, ...] of the real batch."""
    rows, length = real
    return tuple(out[:rows, :length] if per_token else out[:rows] for out in outputs)


def per_token(checkpoint: Checkpoint) -> bool:
    """Whether outputs have a length axis."""
    return checkpoint.task in _PER_TOKEN or (
        checkpoint.task == FEATURES and checkpoint.pooling == "none"
    )


def multiple_of(feed: Feed, asked: Value | None, longest: int | None) -> Value | None:
    """`asked`, if the feed's length is a multiple of it or as long as the model can; else None."""
    if asked is None or not feed:
        return None
    length = int(feed[0].shape[1])
    return asked if length % int(asked) == 0 or length == longest else None
