"""Input batches: random ids, or texts through the checkpoint's own tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honed.errors import ModelError, UnsupportedError
from honed.models.checkpoint import Checkpoint
from honed.models.heads import input_names
from honed.models.texts import read_texts as read_texts
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
    """Batches by input name; `lengths` of every sequence without its padding, in order."""

    batches: tuple[dict[str, Ids], ...]
    lengths: tuple[int, ...]
    source: str

    def head(self, rows: int) -> InputSet:
        """The first sequences: batches as they are, the last one cut short if need be."""
        kept: list[dict[str, Ids]] = []
        left = rows
        for batch in self.batches:
            if left <= 0:
                break
            kept.append({name: ids[:left] for name, ids in batch.items()})
            left -= len(kept[-1]["input_ids"])
        return InputSet(tuple(kept), self.lengths[:rows], self.source)

    def save(self, path: Path) -> None:
        """One .npz without pickles."""
        arrays: dict[str, NDArray[np.generic]] = {
            "lengths": np.array(self.lengths, np.int64),
            "source": np.array(self.source),
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
        return cls(tuple(batches[i] for i in sorted(batches)), lengths, source)

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


def tokenised_inputs(
    checkpoint: Checkpoint, texts: Sequence[str], batch_size: int, sequence_length: int
) -> InputSet:
    """The texts in their order, cut at `sequence_length`, padded to the longest of their batch.

    A last batch that is not full is filled up with the first texts again, so that every call does
    the same work.
    """
    check_length(checkpoint, sequence_length)
    if not texts:
        raise ModelError("there are no texts to feed", "give a file with at least one text")
    missing = -len(texts) % batch_size
    filled = [*texts, *(texts[i % len(texts)] for i in range(missing))]
    ids, segments, padding_id = _tokenise(checkpoint, filled, sequence_length)
    made = []
    for start in range(0, len(filled), batch_size):
        chosen = slice(start, start + batch_size)
        mask = _padded([[1] * len(row) for row in ids[chosen]], 0)
        made.append(
            _batch(
                checkpoint, _padded(ids[chosen], padding_id), mask, _padded(segments[chosen], 0)
            )
        )
    return InputSet(tuple(made), tuple(len(row) for row in ids), "texts")


def _tokenise(
    checkpoint: Checkpoint, texts: Sequence[str], sequence_length: int
) -> tuple[list[list[int]], list[list[int]], int]:
    """Ids and segments of each text, and the id to pad with."""
    if not checkpoint.has_tokenizer:
        raise ModelError(
            f"{checkpoint.folder} has no tokenizer, so it cannot read texts",
            "leave inputs out for random ids, or put the tokenizer's files into the folder",
        )
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise UnsupportedError(
            f"{error.name} is not installed, which tokenises texts", "pip install 'honed[torch]'"
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=checkpoint.own_code
        )
        encoded = tokenizer(list(texts), truncation=True, max_length=sequence_length)
    except Exception as error:  # tokenizer files are user input, in many formats
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"the tokenizer in {checkpoint.folder} could not be used: {first}",
            "copy or download the tokenizer's files again",
        ) from error
    ids = encoded["input_ids"]
    segments = encoded.get("token_type_ids") or [[0] * len(row) for row in ids]
    _check_ids(checkpoint, max(max(row, default=0) for row in ids))
    return ids, segments, int(tokenizer.pad_token_id or 0)  # any id does: padding is masked


def _check_ids(checkpoint: Checkpoint, largest: int) -> None:
    if largest >= checkpoint.vocab_size:
        raise ModelError(
            f"the tokenizer in {checkpoint.folder} makes ids up to {largest}, the model knows "
            f"{checkpoint.vocab_size}",
            "do the tokenizer and the weights belong together?",
        )


def _padded(rows: Sequence[Sequence[int]], value: int) -> Ids:
    # A sequence of no tokens still needs one column.
    out = np.full((len(rows), max(1, *(len(row) for row in rows))), value, np.int64)
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
