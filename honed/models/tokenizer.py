"""The checkpoint's tokenizer turns texts, pairs of texts and lists of words into ids."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.errors import ModelError, UnsupportedError
from honed.models import delivered, weights
from honed.models.checkpoint import Checkpoint

Text = str | tuple[str, ...]
_LINES_SHOWN = 8


class TokenlessError(ModelError):
    """Texts of which the tokenizer leaves nothing. `texts` are those texts."""

    def __init__(self, message: str, hint: str, texts: tuple[Text, ...]) -> None:
        super().__init__(message, hint)
        self.texts = texts


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
        given = [list(t) if words else _as_read(checkpoint, t) for t in texts]
        longest = min(longest, checkpoint.reading.longest or longest)
        encoded = tokenizer(given, truncation=True, max_length=longest, is_split_into_words=words)
        owners = [encoded.word_ids(index) for index in range(len(texts))] if words else []
    except Exception as error:  # tokenizer files are user input, in many formats
        raise _unusable(checkpoint, error) from error
    ids = encoded["input_ids"]
    _refuse_tokenless(checkpoint, [text for text, row in zip(texts, ids, strict=True) if not row])
    segments = encoded.get("token_type_ids") or [[0] * len(row) for row in ids]
    largest = max(max(row, default=0) for row in ids)
    if largest >= checkpoint.vocab_size:
        raise ModelError(
            f"the tokenizer in {checkpoint.folder} makes ids up to {largest}, but the model's "
            f"vocabulary has {checkpoint.vocab_size} entries",
            "do the tokenizer and the weights belong together?",
        )
    return Encoded(ids, segments, int(tokenizer.pad_token_id or 0), owners)


def save_fast(checkpoint: Checkpoint, path: Path) -> int:
    """Write the tokenizer in the format of the `tokenizers` library; returns the id to pad with.

    The file lower-cases where the checkpoint asks for it, and neither cuts nor pads.
    UnsupportedError for a tokenizer that is written in Python. A delivered folder brings the file.
    """
    if (files := checkpoint.engine_files) is not None:
        padding_id = delivered.padding_id(files)
        if padding_id is not None:
            shutil.copyfile(files.root / delivered.TOKENIZER_FILE, path)
            return padding_id
    tokenizer = _tokenizer(checkpoint)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UnsupportedError(
            f"the tokenizer in {checkpoint.folder} is written in Python, so that it would hold up "
            "every other request while it works",
            "save a fast one beside the weights: AutoTokenizer.from_pretrained(FOLDER, "
            "use_fast=True).save_pretrained(FOLDER)",
        )
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(path))
    return int(tokenizer.pad_token_id or 0)


def prompt_tokens(checkpoint: Checkpoint) -> int:
    """How many tokens at the start of every text the pooling leaves out: those of the prompt, or
    none. As in sentence-transformers, a special token that ends the prompt does not count."""
    prompt = checkpoint.reading.prompt
    if checkpoint.pools_prompt or not prompt:
        return 0
    tokenizer = _tokenizer(checkpoint)
    longest = checkpoint.reading.longest
    ids = tokenizer(prompt, truncation=longest is not None, max_length=longest)["input_ids"]
    return len(ids) - (bool(ids) and ids[-1] in tokenizer.all_special_ids)


def _as_read(checkpoint: Checkpoint, text: Text) -> Text:
    """The text behind the model's default prompt, if it has one."""
    prompt = checkpoint.reading.prompt
    return prompt + text if prompt and isinstance(text, str) else text


def _lower_case(tokenizer: Any) -> None:
    """Lower case before everything else, as sentence-transformers does."""
    from tokenizers import normalizers

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # a tokenizer in Python
        tokenizer.do_lower_case = True
        return
    steps = [normalizers.Lowercase(), *([backend.normalizer] if backend.normalizer else [])]
    backend.normalizer = normalizers.Sequence(steps)


def _refuse_tokenless(checkpoint: Checkpoint, texts: Sequence[Text]) -> None:
    """No engine can run a sequence of length 0, so none is counted."""
    if texts:
        raise TokenlessError(
            f"the tokenizer in {checkpoint.folder} makes no token of the text {texts[0]!a}",
            "remove the text from the file",
            tuple(texts),
        )


@contextmanager
def tokenless_named(
    path: Path, lines: Callable[[], Iterable[tuple[int, Set[str]]]]
) -> Iterator[None]:
    """Inside the block, an error about tokenless texts names their lines in the file at `path`.

    `lines` gives the texts of the file, with the number of the line that holds them.
    """
    try:
        yield
    except TokenlessError as error:
        wanted = [{text} if isinstance(text, str) else set(text) for text in error.texts]
        numbers = [number for number, texts in lines() if any(each <= texts for each in wanted)]
        shown = ", ".join(map(str, numbers[:_LINES_SHOWN]))
        more = f" and {len(numbers) - _LINES_SHOWN} more" if len(numbers) > _LINES_SHOWN else ""
        where = f"{path}, line{'s' if len(numbers) > 1 else ''} {shown}{more}"
        raise ModelError(f"{where}: {error.message}", error.hint) from error


def _tokenizer(checkpoint: Checkpoint) -> Any:
    for path in checkpoint.folder.iterdir():
        weights.refuse_dangling(path)
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
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=checkpoint.own_code
        )
        if checkpoint.reading.lower_case:
            _lower_case(tokenizer)
        return tokenizer
    except Exception as error:  # tokenizer files are user input, in many formats
        raise _unusable(checkpoint, error) from error


def _unusable(checkpoint: Checkpoint, error: Exception) -> ModelError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelError(
        f"the tokenizer in {checkpoint.folder} could not be used: {first}",
        "copy or download the tokenizer's files again",
    )
