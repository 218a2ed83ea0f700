"""Input batches: random ids, or texts through the checkpoint's own tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honed.errors import ModelError
from honed.models.checkpoint import Checkpoint
from honed.models.heads import input_names
from honed.models.knobs.padding import Padding
from honed.models.texts import read_texts as read_texts
from honed.models.tokenizer import encode
from honed.record import InputFacts

Ids = NDArray[np.int64]  # [batch, length]

_EXACT_LENGTHS = 32
_SPECIAL_KEYS = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "cls_token_id",
    "sep_token_id",
    "mask_token_id",
)


@dataclass(frozen=True, slots=True)
class InputSet:
    """Batches by input name; `lengths` of every sequence without its padding, in order.

    `order`: the place of each sequence among the texts or lengths as they came; empty: the same.
    """

    batches: tuple[dict[str, Ids], ...]
    lengths: tuple[int, ...]
    source: str
    order: tuple[int, ...] = ()

    @property
    def varied(self) -> bool:
        """Whether one batch is more work than another."""
        shapes = {batch["input_ids"].shape for batch in self.batches}
        return len(shapes) > 1 or len(set(self.lengths)) > 1

    def first(self, rows: int) -> dict[int, list[int]]:
        """Where the first sequences lie, as they came: which rows of which batches."""
        order = self.order or range(len(self.lengths))
        wanted, found, place = set(sorted(order)[:rows]), dict[int, list[int]](), 0
        for index, batch in enumerate(self.batches):
            count = len(batch["input_ids"])
            own = [row for row in range(count) if order[place + row] in wanted]
            found |= {index: own} if own else {}
            place += count
        return found

    def head(self, rows: int) -> InputSet:
        """The first sequences alone, in the batches that they lie in, as wide as these are."""
        first = self.first(rows)
        starts = np.cumsum([0, *(len(batch["input_ids"]) for batch in self.batches)])
        places = [int(starts[index]) + row for index, own in first.items() for row in own]
        return InputSet(
            tuple({k: v[own] for k, v in self.batches[i].items()} for i, own in first.items()),
            tuple(self.lengths[place] for place in places),
            self.source,
            tuple(self.order[place] for place in places) if self.order else (),
        )

    def save(self, path: Path) -> None:
        """One .npz without pickles."""
        arrays: dict[str, NDArray[np.generic]] = {
            "lengths": np.array(self.lengths, np.int64),
            "source": np.array(self.source),
            "order": np.array(self.order, np.int64),
        }
        for index, batch in enumerate(self.batches):
            arrays |= {f"{index}/{name}": ids for name, ids in batch.items()}
        with open(path, "wb") as file:  # np.savez would add .npz to any other name
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> InputSet:
        batches: dict[int, dict[str, Ids]] = {}
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                index, _, name = key.partition("/")
                if name:
                    batches.setdefault(int(index), {})[name] = arrays[key]
            lengths = tuple(int(n) for n in arrays["lengths"])
            source = str(arrays["source"])
            order = tuple(int(n) for n in arrays.get("order", ()))
        return cls(tuple(batches[i] for i in sorted(batches)), lengths, source, order)

    def facts(self) -> InputFacts:
        """What the record keeps. Many different lengths are counted in buckets, as "65-128"."""
        fed = sum(batch["input_ids"].size for batch in self.batches)
        counts = Counter(self.lengths)
        if len(counts) <= _EXACT_LENGTHS:
            histogram = {str(length): counts[length] for length in sorted(counts)}
        else:
            histogram = _buckets(counts)
        return InputFacts(
            source=self.source,
            sequences=len(self.lengths),
            length_histogram=histogram,
            padding_share=1 - sum(self.lengths) / fed if fed else 0.0,
        )


def check_length(checkpoint: Checkpoint, sequence_length: int) -> None:
    """Refuse a length that the model has no positions for."""
    limit = checkpoint.max_positions
    if limit is not None and sequence_length > limit:
        raise ModelError(
            f"sequence_length={sequence_length} is longer than the {limit} positions of "
            f"{checkpoint.folder.name} ({checkpoint.model_type})",
            f"use sequence_length={limit} or less",
        )


def random_inputs(
    checkpoint: Checkpoint, batch_size: int, sequence_length: int, seed: int, *, batches: int = 1
) -> InputSet:
    """Full-length sequences of ordinary ids; the same arguments give the same ids."""
    check_length(checkpoint, sequence_length)
    ordinary = _ordinary_ids(checkpoint)
    random = np.random.default_rng(seed)
    made = []
    for _ in range(batches):
        ids = random.choice(ordinary, (batch_size, sequence_length))
        made.append(_batch(checkpoint, ids, np.ones_like(ids), np.zeros_like(ids)))
    lengths = (sequence_length,) * (batch_size * batches)
    return InputSet(tuple(made), lengths, "random ids")


def drawn_inputs(
    checkpoint: Checkpoint, lengths: Sequence[int], batch_size: int, padding: Padding, source: str
) -> InputSet:
    """Sequences of ordinary ids with these lengths; the padding's seed makes the ids too."""
    check_length(checkpoint, max(lengths))
    ordinary = _ordinary_ids(checkpoint)
    random = np.random.default_rng(padding.seed)
    ids = [random.choice(ordinary, length) for length in lengths]
    rows = _Rows(ids, [np.zeros_like(row) for row in ids], _padding_id(checkpoint))
    return _batched(checkpoint, rows, batch_size, padding, source)


def tokenised_inputs(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    batch_size: int,
    sequence_length: int,
    padding: Padding | None = None,
) -> InputSet:
    """The texts cut at `sequence_length`; unless told otherwise, in their order and padded to the
    longest of their batch.

    A last batch that is not full is filled up with the first texts again, so that every call does
    the same work.
    """
    check_length(checkpoint, sequence_length)
    if not texts:
        raise ModelError("there are no texts to feed", "give a file with at least one text")
    missing = -len(texts) % batch_size
    filled = [*texts, *(texts[i % len(texts)] for i in range(missing))]
    rows = _tokenise(checkpoint, filled, sequence_length)
    return _batched(checkpoint, rows, batch_size, padding or Padding(), "texts")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Ids and segments of each sequence, and the id to pad with."""

    ids: Sequence[Sequence[int] | Ids]
    segments: Sequence[Sequence[int] | Ids]
    padding_id: int


def _batched(
    checkpoint: Checkpoint, rows: _Rows, batch_size: int, padding: Padding, source: str
) -> InputSet:
    lengths = [len(row) for row in rows.ids]
    made: list[dict[str, Ids]] = []
    order: list[int] = []
    for group in padding.groups(lengths, batch_size):
        ids = _padded([rows.ids[r] for r in group.rows], rows.padding_id, group.width)
        mask = _padded([[1] * lengths[r] for r in group.rows], 0, group.width)
        segments = _padded([rows.segments[r] for r in group.rows], 0, group.width)
        made.append(_batch(checkpoint, ids, mask, segments))
        order += group.rows
    return InputSet(tuple(made), tuple(lengths[r] for r in order), source, tuple(order))


def _tokenise(checkpoint: Checkpoint, texts: Sequence[str], sequence_length: int) -> _Rows:
    found = encode(checkpoint, texts, sequence_length)
    return _Rows(found.ids, found.segments, found.padding_id)


def _padding_id(checkpoint: Checkpoint) -> int:
    """RoBERTa's family counts positions by it; for the others any id does."""
    found = checkpoint.config.get("pad_token_id")
    return found if isinstance(found, int) and 0 <= found < checkpoint.vocab_size else 0


def _padded(rows: Sequence[Sequence[int] | Ids], value: int, width: int) -> Ids:
    out = np.full((len(rows), width), value, np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out


def _batch(checkpoint: Checkpoint, ids: Ids, mask: Ids, segments: Ids) -> dict[str, Ids]:
    every = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
    return {name: every[name] for name in input_names(checkpoint)}


def _ordinary_ids(checkpoint: Checkpoint) -> Ids:
    """Ids of words, as far as can be told without a tokenizer.

    Vocabularies begin with special, unused and single-character entries: BERT's first word is
    number 1996. Padding ids would also shift the positions of RoBERTa's family.
    """
    size = checkpoint.vocab_size
    first = min(1000, size // 20) if size > 5000 else min(5, size - 1)
    values = [checkpoint.config.get(key) for key in _SPECIAL_KEYS]
    special = [n for value in values for n in (value if isinstance(value, list) else [value]) if n]
    ordinary: Ids = np.setdiff1d(np.arange(first, size, dtype=np.int64), special)
    return ordinary if ordinary.size else np.arange(size, dtype=np.int64)


def _buckets(counts: Counter[int]) -> dict[str, int]:
    """Doubling buckets: 1, 2, 3-4, 5-8, 9-16, ..."""
    buckets: Counter[int] = Counter()
    for length, count in counts.items():
        buckets[max(0, (length - 1).bit_length())] += count
    named = {}
    for power in sorted(buckets):
        low, high = (1 << (power - 1)) + 1 if power else 1, 1 << power
        named[str(high) if low >= high else f"{low}-{high}"] = buckets[power]
    return named
