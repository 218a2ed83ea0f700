"""Input batches: random ids, or texts that the checkpoint's tokenizer turned into ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.errors import ModelError
from honed.models.checkpoint import Checkpoint
from honed.models.heads import input_names
from honed.models.knobs.padding import Padding
from honed.models.tokenizer import Encoded, encode
from honed.record import InputFacts

Ids = NDArray[np.int64]  # [batch, length]

_EXACT_LENGTHS = 32
_SPECIAL_KEYS = tuple(f"{kind}_token_id" for kind in ("pad", "bos", "eos", "cls", "sep", "mask"))


@dataclass(frozen=True, slots=True)
class InputSet:
    """Batches, each an array of ids by input name.

    `lengths` holds the tokens of every sequence without padding, in the order of the batches.
    `order` holds the place of every sequence among the texts or lengths that were given; it is
    empty where the batches keep that order.
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
        """Which rows of which batches hold the first sequences that were given."""
        order = self.order or range(len(self.lengths))
        wanted = set(sorted(order)[:rows])
        rows_by_batch: dict[int, list[int]] = {}
        start = 0
        for index, batch in enumerate(self.batches):
            count = len(batch["input_ids"])
            if wanted_rows := [row for row in range(count) if order[start + row] in wanted]:
                rows_by_batch[index] = wanted_rows
            start += count
        return rows_by_batch

    def head(self, rows: int) -> InputSet:
        """Only the first sequences that were given. Their batches keep their widths."""
        first = self.first(rows)
        starts = np.cumsum([0, *(len(batch["input_ids"]) for batch in self.batches)])
        places = [int(starts[index]) + row for index, chosen in first.items() for row in chosen]
        return InputSet(
            tuple({k: v[rows] for k, v in self.batches[i].items()} for i, rows in first.items()),
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
        """For the record. Many different lengths are counted in buckets such as "65-128"."""
        cells = sum(batch["input_ids"].size for batch in self.batches)
        counts = Counter(self.lengths)
        exact = {str(length): counts[length] for length in sorted(counts)}
        histogram = exact if len(counts) <= _EXACT_LENGTHS else _buckets(counts)
        padding_share = 1 - sum(self.lengths) / cells if cells else 0.0
        return InputFacts(self.source, len(self.lengths), histogram, padding_share)


def check_length(checkpoint: Checkpoint, sequence_length: int) -> None:
    """ModelError for a length that the model has no positions for."""
    limit = checkpoint.max_positions
    if limit is not None and sequence_length > limit:
        # The folders of named shapes and of the hub are named by hashes, which say nothing.
        name = checkpoint.folder.name if checkpoint.source == "folder" else "this model"
        raise ModelError(
            f"sequence_length={sequence_length} is longer than the {limit} positions of "
            f"{name} ({checkpoint.model_type})",
            f"use sequence_length={limit} or less" if limit > 0 else "a longer context_length",
        )


def about_random_ids(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the model decides of random ids: which ids there are, and the inputs that hold them."""
    return {
        "vocab_size": checkpoint.vocab_size,
        "model_type": checkpoint.model_type,
        "names": input_names(checkpoint),
        "special": {key: checkpoint.config.get(key) for key in _SPECIAL_KEYS},
        "positions": checkpoint.max_positions,
    }


def random_inputs(
    checkpoint: Checkpoint, batch_size: int, sequence_length: int, seed: int, *, batches: int = 1
) -> InputSet:
    """Full-length sequences of ordinary ids; the same arguments give the same ids."""
    check_length(checkpoint, sequence_length)
    ordinary = _ordinary_ids(checkpoint)
    random = np.random.default_rng(seed)
    made: list[dict[str, Ids]] = []
    for _ in range(batches):
        ids = random.choice(ordinary, (batch_size, sequence_length))
        made.append(_batch(checkpoint, ids, np.ones_like(ids), np.zeros_like(ids)))
    lengths = (sequence_length,) * (batch_size * batches)
    return InputSet(tuple(made), lengths, "random ids")


def drawn_inputs(
    checkpoint: Checkpoint, lengths: Sequence[int], batch_size: int, padding: Padding, source: str
) -> InputSet:
    """Sequences of ordinary ids with these lengths; `padding.seed` decides the ids too."""
    check_length(checkpoint, max(lengths))
    ordinary = _ordinary_ids(checkpoint)
    random = np.random.default_rng(padding.seed)
    ids = [random.choice(ordinary, length) for length in lengths]
    # RoBERTa and its relatives count positions by the padding id; for other models any id will do.
    padding_id = checkpoint.config.get("pad_token_id")
    if not isinstance(padding_id, int) or not 0 <= padding_id < checkpoint.vocab_size:
        padding_id = 0
    encoded = Encoded(ids, [np.zeros_like(row) for row in ids], padding_id)
    return _batched(checkpoint, encoded, batch_size, padding, source)


def tokenised_inputs(
    checkpoint: Checkpoint, texts: Sequence[str], batch_size: int, sequence_length: int,
    padding: Padding | None = None,
) -> InputSet:  # fmt: skip
    """The texts, cut at `sequence_length`. By default they keep their order, and every batch is as
    wide as its longest text.

    A last batch that is not full is filled up with the first texts again, so that every call does
    the same work.
    """
    check_length(checkpoint, sequence_length)
    if not texts:
        raise ModelError("there are no texts to feed", "give a file with at least one text")
    missing = -len(texts) % batch_size
    filled = [*texts, *(texts[i % len(texts)] for i in range(missing))]
    encoded = encode(checkpoint, filled, sequence_length)
    return _batched(checkpoint, encoded, batch_size, padding or Padding(), "texts")


def _batched(
    checkpoint: Checkpoint, encoded: Encoded, batch_size: int, padding: Padding, source: str
) -> InputSet:
    lengths = [len(ids) for ids in encoded.ids]
    groups = padding.groups(lengths, batch_size)
    batches = tuple(padded_batch(checkpoint, encoded, group.rows, group.width) for group in groups)
    order = tuple(row for group in groups for row in group.rows)
    return InputSet(batches, tuple(lengths[row] for row in order), source, order)


def padded_batch(
    checkpoint: Checkpoint, encoded: Encoded, rows: Sequence[int], width: int
) -> dict[str, Ids]:
    """The sequences `rows` as one batch of this width, with the inputs that the model takes."""
    ids = np.full((len(rows), width), encoded.padding_id, np.int64)
    mask, segments = np.zeros_like(ids), np.zeros_like(ids)
    for place, row in enumerate(rows):
        length = len(encoded.ids[row])
        ids[place, :length] = encoded.ids[row]
        mask[place, :length] = 1
        segments[place, :length] = encoded.segments[row]
    return _batch(checkpoint, ids, mask, segments)


def _batch(checkpoint: Checkpoint, ids: Ids, mask: Ids, segments: Ids) -> dict[str, Ids]:
    """The inputs that the model takes."""
    arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
    return {name: arrays[name] for name in input_names(checkpoint)}


def _ordinary_ids(checkpoint: Checkpoint) -> Ids:
    """Ids of words, as far as one can know them without a tokenizer.

    Vocabularies begin with special, unused and single-character entries: BERT's first word is
    number 1996. Padding ids would also shift the positions of RoBERTa and its relatives.
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
