"""Padding: which sequences share a batch, how wide a batch is, and which policy it shows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from honed.knob import Knob, Span, Value

POLICIES = ("longest", "buckets", "sorted", "max")
PADDING = Knob("padding",
               "how wide a batch is: its longest sequence, the next bucket, or sequence_length; "
               "sorted: sequences of similar length share a batch", POLICIES)  # fmt: skip
BUCKET_TOKENS = Knob("bucket_tokens", "buckets are multiples of this; unset: 16, 32, 64, 128, ...",
                     Span(1, 8192), scale="log2",
                     beside={PADDING.name: ("buckets", "sorted")})  # fmt: skip
KNOBS = (PADDING, BUCKET_TOKENS)

_FIRST_BUCKET = 16


@dataclass(frozen=True, slots=True)
class Group:
    """A batch to make: the places of its sequences among the given ones, and its width."""

    rows: tuple[int, ...]
    width: int


@dataclass(frozen=True, slots=True)
class Padding:
    """One policy. No batch is made wider than `limit`."""

    policy: str = "longest"
    bucket_tokens: int | None = None
    limit: int = 0
    seed: int = 0

    @classmethod
    def of(cls, knobs: Mapping[str, Value], limit: int, seed: int = 0) -> Padding:
        tokens = knobs.get(BUCKET_TOKENS.name)
        policy = str(knobs.get(PADDING.name) or "longest")
        return cls(policy, int(tokens) if tokens is not None else None, limit, seed)

    def groups(self, lengths: Sequence[int], batch_size: int) -> list[Group]:
        """Batches that hold every sequence once; the last batch may be smaller.

        Sorted batches are shuffled by the seed. Otherwise a run that stops before it has used
        all of them would have measured only the short ones.
        """
        order = list(range(len(lengths)))
        if self.policy == "sorted":
            order.sort(key=lambda row: lengths[row])
        batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        if self.policy == "sorted":
            random = np.random.default_rng((self.seed, len(batches)))
            batches = [batches[i] for i in random.permutation(len(batches))]
        return [Group(tuple(rows), self.width(max(lengths[r] for r in rows))) for rows in batches]

    def width(self, longest: int) -> int:
        """The width of a batch whose longest sequence has this many tokens."""
        needed = max(1, longest)  # a sequence of no tokens still needs one column
        if self.policy == "max":
            return max(needed, self.limit)
        if self.policy == "buckets" or (self.policy == "sorted" and self.bucket_tokens):
            if self.bucket_tokens is not None:
                bucket = -(-needed // self.bucket_tokens) * self.bucket_tokens
            else:
                bucket = max(_FIRST_BUCKET, 1 << (needed - 1).bit_length())
            return max(needed, min(bucket, self.limit))
        return needed

    def fits(self, batches: Sequence[tuple[Sequence[int], int]]) -> bool:
        """Whether this policy makes batches with these lengths and widths."""
        if any(width != self.width(max(lengths)) for lengths, width in batches):
            return False
        if self.policy != "sorted":
            return True
        spans = sorted((min(lengths), max(lengths)) for lengths, _ in batches)
        return all(below[1] <= above[0] for below, above in itertools.pairwise(spans))


def read_back(
    batches: Sequence[Mapping[str, np.ndarray]], knobs: Mapping[str, Value], limit: int
) -> dict[str, Value | None]:
    """The policy that made the batches, judged from their masks.

    The requested policy if the batches fit it, else another policy that they fit, else None.
    """
    masks = [batch["attention_mask"] for batch in batches]
    shapes = [([int(n) for n in mask.sum(axis=1)], int(mask.shape[1])) for mask in masks]
    requested = Padding.of(knobs, limit)
    others = (Padding(policy, None, limit) for policy in POLICIES)
    fitting = next((p for p in (requested, *others) if p.fits(shapes)), None)
    tokens = requested.bucket_tokens if fitting == requested else None
    return {
        PADDING.name: None if fitting is None else fitting.policy,
        **({BUCKET_TOKENS.name: tokens} if BUCKET_TOKENS.name in knobs else {}),
    }
