"""The checkpoint's own tokenizer: texts, pairs of texts and words become ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from honed.errors import ModelError, UnsupportedError
from honed.models.checkpoint import Checkpoint

Text = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Ids and segments of each sequence, and the id to pad with.

    `words`: which word each token belongs to (None: none), where words were given.
    """

    ids: list[list[int]]
    segments: list[list[int]]
    padding_id: int
    words: list[list[int | None]]


def encode(
    checkpoint: Checkpoint, texts: Sequence[Text], longest: int, *, words: bool = False
) -> Encoded:
    """`texts` cut at `longest` tokens. A tuple is a pair of texts, or with `words` its words."""
    tokenizer = _tokenizer(checkpoint)
    try:
        given = [list(t) if words else t for t in texts]
        encoded = tokenizer(given, truncation=True, max_length=longest, is_split_into_words=words)
        owners = [encoded.word_ids(index) for index in range(len(texts))] if words else []
    except Exception as error:  # tokenizer files are user input, in many formats
        raise _unusable(checkpoint, error) from error
    ids = encoded["input_ids"]
    segments = encoded.get("token_type_ids") or [[0] * len(row) for row in ids]
    _check(checkpoint, max(max(row, default=0) for row in ids))
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


def _check(checkpoint: Checkpoint, largest: int) -> None:
    if largest >= checkpoint.vocab_size:
        raise ModelError(
            f"the tokenizer in {checkpoint.folder} makes ids up to {largest}, the model knows "
            f"{checkpoint.vocab_size}",
            "do the tokenizer and the weights belong together?",
        )
