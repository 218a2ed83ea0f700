"""Padding: which sequences share a batch, how wide it becomes, and what was really fed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from honed.knob import Knob, Span, Value

POLICIES = ("longest", "buckets", "sorted", "max")
PADDING = Knob(
    "padding",
    "batches are as wide as their longest sequence, as the next bucket, as sequence_length; or "
    "sequences of like length share a batch",
    POLICIES,
)
BUCKET_TOKENS = Knob(
    "bucket_tokens",
    "buckets are multiples of this; unset: 16, 32, 64, 128, ...",
    Span(1, 8192),
    scale="log2",
    beside={PADDING.name: ("buckets", "sorted")},
)
KNOBS = (PADDING, BUCKET_TOKENS)

_FIRST_BUCKET = 16


@dataclass(frozen=True, slots=True)
class Group:
    """One batch to be: which sequences, by their place in what was drawn or read, and how wide."""

    rows: tuple[int, ...]
    width: int


@dataclass(frozen=True, slots=True)
class Padding:
    """One policy. `limit` is the widest that any batch may be."""

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
        """Every sequence once; the last batch may be smaller.

        Sorted batches come in an order that the seed shuffles: a run that stops within a turn
        would otherwise have seen the short ones only.
        """
        order = list(range(len(lengths)))
        if self.policy == "sorted":
            order.sort(key=lambda row: lengths[row])
        cut = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        if self.policy == "sorted":
            random = np.random.default_rng((self.seed, len(cut)))
            cut = [cut[i] for i in random.permutation(len(cut))]
        return [Group(tuple(rows), self.width(max(lengths[r] for r in rows))) for rows in cut]

    def width(self, longest: int) -> int:
        """Of a batch whose longest sequence has so many tokens."""
        needed = max(1, longest)  # a sequence of no tokens still needs one column
        if self.policy == "max":
            return max(needed, self.limit)
        if self.policy == "buckets" or (self.policy == "sorted" and self.bucket_tokens):
            return max(needed, min(self._bucket(needed), self.limit))
        return needed

    def fits(self, fed: Sequence[tuple[Sequence[int], int]]) -> bool:
        """Whether batches of these lengths and widths are what this policy makes."""
        if any(width != self.width(max(lengths)) for lengths, width in fed):
            return False
        return self.policy != "sorted" or _in_order([lengths for lengths, _ in fed])

    def _bucket(self, needed: int) -> int:
        if self.bucket_tokens is not None:
            return -(-needed // self.bucket_tokens) * self.bucket_tokens
        return max(_FIRST_BUCKET, 1 << (needed - 1).bit_length())


def read_back(
    batches: Sequence[Mapping[str, np.ndarray]], knobs: Mapping[str, Value], limit: int
) -> dict[str, Value | None]:
    """What the batches show: the policy asked for if they fit it, else one that they do."""
    fed = list(_fed(batches))
    asked = Padding.of(knobs, limit)
    others = (Padding(policy, None, limit) for policy in POLICIES)
    shown = next((p for p in (asked, *others) if p.fits(fed)), None)
    tokens = asked.bucket_tokens if shown == asked else None
    return {
        PADDING.name: None if shown is None else shown.policy,
        **({BUCKET_TOKENS.name: tokens} if BUCKET_TOKENS.name in knobs else {}),
    }


def _fed(batches: Sequence[Mapping[str, np.ndarray]]) -> Iterator[tuple[list[int], int]]:
    for batch in batches:
        mask = batch["attention_mask"]
        yield [int(n) for n in mask.sum(axis=1)], int(mask.shape[1])


def _in_order(batches: Sequence[Sequence[int]]) -> bool:
    """Whether no batch reaches into another's lengths."""
    spans = sorted((min(lengths), max(lengths)) for lengths in batches)
    return all(below[1] <= above[0] for below, above in itertools.pairwise(spans))
