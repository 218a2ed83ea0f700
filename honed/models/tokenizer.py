"""The checkpoint's tokenizer turns texts, pairs of texts and lists of words into ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.errors import ModelError, UnsupportedError
from honed.models.checkpoint import Checkpoint

Text = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Ids and segments of each sequence, and the id to pad with.

    Where lists of words were given, `words` holds the word that each token belongs to, or None.
    """

    ids: Sequence[Sequence[int] | NDArray[np.int64]]
    segments: Sequence[Sequence[int] | NDArray[np.int64]]
    padding_id: int
    words: list[list[int | None]] = field(default_factory=list)


def encode(
    checkpoint: Checkpoint, texts: Sequence[Text], longest: int, *, words: bool = False
) -> Encoded:
    """The texts, cut at `longest` tokens.

    A tuple is a pair of texts, or with `words=True` the words of one text.
    """
    tokenizer = _tokenizer(checkpoint)
    try:
        given = [list(t) if words else t for t in texts]
        encoded = tokenizer(given, truncation=True, max_length=longest, is_split_into_words=words)
        owners = [encoded.word_ids(index) for index in range(len(texts))] if words else []
    except Exception as error:  # tokenizer files are user input, in many formats
        raise _unusable(checkpoint, error) from error
    ids = encoded["input_ids"]
    segments = encoded.get("token_type_ids") or [[0] * len(row) for row in ids]
    largest = max(max(row, default=0) for row in ids)
    if largest >= checkpoint.vocab_size:
        raise ModelError(
            f"the tokenizer in {checkpoint.folder} makes ids up to {largest}, but the model's "
            f"vocabulary has {checkpoint.vocab_size} entries",
            "do the tokenizer and the weights belong together?",
        )
    return Encoded(ids, segments, int(tokenizer.pad_token_id or 0), owners)


def _tokenizer(checkpoint: Checkpoint) -> Any:
    if not checkpoint.has_tokenizer:
        raise ModelError(
            f"{checkpoint.folder} has no tokenizer, so it cannot read texts",
            "put the tokenizer's files into the folder, or leave inputs and eval out: random ids",
        )
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise UnsupportedError(
            f"{error.name} is not installed, which tokenises texts", "pip install 'honed[torch]'"
        ) from error
    try:
        return AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=checkpoint.own_code
        )
    except Exception as error:  # tokenizer files are user input, in many formats
        raise _unusable(checkpoint, error) from error


def _unusable(checkpoint: Checkpoint, error: Exception) -> ModelError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelError(
        f"the tokenizer in {checkpoint.folder} could not be used: {first}",
        "copy or download the tokenizer's files again",
    )
