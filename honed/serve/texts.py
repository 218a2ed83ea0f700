"""Texts to token ids and back, by the checkpoint's own tokenizer.

Short texts are tokenised on the event loop, because handing them to a thread takes longer than the
work. Long ones go to a thread: the batch methods of a tokenizer release Python's lock while they
work, which `encode` does not. Each thread has a copy of the tokenizer, because changing how a
tokenizer cuts while another thread uses it is an error.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from honed.models import sentences
from honed.models.checkpoint import Checkpoint
from honed.models.heads import input_names
from honed.serve.asks import TOKENIZER_FILE
from honed.serve.refusals import Kind, Refusal, empty, invalid
from honed.serve.tickets import Tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Copies = dict[str, "Tokenizer"]  # one thread's copies of the tokenizer, by the side that they cut
Text = str | tuple[str, str]
Input = Text | list[int]  # what a client sends: a text, a pair of texts, or token ids
T = TypeVar("T")

_INLINE_CHARACTERS = 4000  # about 0.5 ms of work
# Tokenisers need more than linear time on some texts, so very long ones are cut first.
_CHARACTERS_PER_TOKEN = 250
_THREADS = 1  # beside the event loop's own copy; a copy takes about 10 MiB


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How one request wants its texts read. `truncate` None: as the server does by default."""

    truncate: bool | None = None
    direction: str = "right"
    prompt_name: str | None = None
    use_prompt: bool = True


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Tokenised texts, and how many of them were cut."""

    tokens: list[Tokens]
    cut: int = 0


class Texts:
    """The tokenizer of a server. `longest` is the most tokens of a text."""

    def __init__(
        self, checkpoint: Checkpoint, folder: Path | None, longest: int, *, auto_truncate: bool
    ) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its own threads would use every core
        self.longest = longest
        self.vocab_size = checkpoint.vocab_size
        self.prompts = sentences.prompts_of(sentences.root_folder(checkpoint.folder))
        self._default_prompt = checkpoint.reading.prompt
        # Where the pooling leaves out the default prompt, every text must stand behind it.
        self._one_prompt = not checkpoint.pools_prompt
        self._auto_truncate = auto_truncate
        self._segments = "token_type_ids" in input_names(checkpoint)
        self._file = folder / TOKENIZER_FILE if folder is not None else None
        self._copies_of_loop: Copies = {}
        self._copies_of_thread: Copies = {}
        self._threads = ThreadPoolExecutor(_THREADS, "tokenizer")
        if self._file is not None:
            self._cutting(self._copies_of_loop, "right")
            self._threads.submit(self._cutting, self._copies_of_thread, "right").result()

    @property
    def threads(self) -> int:
        return _THREADS

    async def read(self, given: Sequence[Input], options: ReadOptions) -> Tokenized:
        """The texts as ids, in their order. Raises Refusal for what cannot be tokenised."""
        if not given or any(not each for each in given):
            raise empty()
        places = [place for place, each in enumerate(given) if not isinstance(each, list)]
        tokens: list[Tokens | None] = [
            self._checked(each, options) if isinstance(each, list) else None for each in given
        ]
        cut = sum(isinstance(each, list) and len(each) > self.longest for each in given)
        if places:
            texts = [self._prepared(given[place], options) for place in places]
            encoded = await self._where_it_fits(
                sum(map(_characters, texts)),
                lambda copies: self._encode(copies, texts, options.direction),
            )
            for place, (each, lost) in zip(places, encoded, strict=True):
                if lost and not self._truncates(options):
                    raise self._too_long(len(each.ids) + lost)
                if not len(each.ids):
                    raise Refusal(Kind.TOKENIZER, f"`inputs[{place}]` has no token")
                cut += bool(lost)
                tokens[place] = each
        return Tokenized([each for each in tokens if each is not None], cut)

    async def tokens_of(
        self, texts: Sequence[str], *, special: bool
    ) -> list[list[dict[str, Any]]]:
        """Every token of each text: id, text, and where it stands in the text's UTF-8 bytes."""

        def work(copies: Copies) -> list[list[dict[str, Any]]]:
            tokenizer = self._plain(copies)
            try:
                encoded = tokenizer.encode_batch([*texts], add_special_tokens=special)
            except Exception as error:  # noqa: BLE001 - a lone surrogate, among others
                raise Refusal(Kind.TOKENIZER, str(error)) from None
            return [_described(text, each) for text, each in zip(texts, encoded, strict=True)]

        return await self._where_it_fits(sum(map(len, texts)), work)

    async def pieces(
        self, given: Input, options: ReadOptions
    ) -> list[tuple[str | None, int, int]]:
        """The tokens that `read` makes of one input, each with its place in the text in
        characters; None for the text of a token that is not the client's (special, or a prompt's).
        """
        if isinstance(given, list):
            return [(str(each), 0, 0) for each in self._cut_ids(given, options)]
        text = self._prepared(given, options)
        encoded = await self._where_it_fits(
            _characters(text),
            lambda copies: self._cutting(copies, options.direction).encode_batch([text])[0],
        )
        # A prompt stands before the text, and a very long text has lost characters.
        shift = 0
        if isinstance(given, str):
            prompt = len(self._prompt(options))
            lost = len(given) - (len(text) - prompt) if options.direction == "left" else 0
            shift = lost - prompt
        least = max(0, shift)
        return [
            (None if special or start + shift < least else token, start + shift, stop + shift)
            for special, token, (start, stop) in zip(
                encoded.special_tokens_mask, encoded.tokens, encoded.offsets, strict=True
            )
        ]

    async def decode(self, ids: Sequence[Sequence[int]], *, skip_special: bool) -> list[str]:
        for row in ids:
            self._check_range(row)
        rows = [list(row) for row in ids]
        return await self._where_it_fits(
            sum(map(len, rows)),
            lambda copies: self._plain(copies).decode_batch(
                rows, skip_special_tokens=skip_special
            ),
        )

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _where_it_fits(self, size: int, work: Callable[[Copies], T]) -> T:
        """Work on so many characters or ids: on the event loop if they are few, else in the
        thread, so that other requests do not wait for it."""
        if size <= _INLINE_CHARACTERS:
            return work(self._copies_of_loop)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, self._copies_of_thread)

    def _truncates(self, options: ReadOptions) -> bool:
        return self._auto_truncate if options.truncate is None else options.truncate

    def _too_long(self, count: int) -> Refusal:
        return invalid(f"`inputs` must have less than {self.longest} tokens. Given: {count}")

    def _checked(self, ids: list[int], options: ReadOptions) -> Tokens:
        """Token ids are used as they are given, without special tokens."""
        self._check_range(ids)
        if len(ids) > self.longest and not self._truncates(options):
            raise self._too_long(len(ids))
        return Tokens(np.array(self._cut_ids(ids, options), np.int32))

    def _cut_ids(self, ids: list[int], options: ReadOptions) -> list[int]:
        return ids[: self.longest] if options.direction == "right" else ids[-self.longest :]

    def _check_range(self, ids: Sequence[int]) -> None:
        for each in ids:
            if not 0 <= each < self.vocab_size:
                raise invalid(
                    f"token id {each} is not in the model's vocabulary of {self.vocab_size}. "
                    "Clients of OpenAI send ids of another tokenizer unless they are told not to: "
                    "set check_embedding_ctx_length=False there"
                )

    def _prepared(self, text: Any, options: ReadOptions) -> Text:
        """The text behind its prompt, and not absurdly long."""
        prompt = self._prompt(options)
        most = _CHARACTERS_PER_TOKEN * self.longest
        if isinstance(text, tuple):
            if options.prompt_name is not None:
                raise invalid("`prompt_name` cannot be used with pairs of texts")
            return (
                self._shortened(text[0], most, options),
                self._shortened(text[1], most, options),
            )
        return prompt + self._shortened(text, most, options)

    def _shortened(self, text: str, most: int, options: ReadOptions) -> str:
        if len(text) <= most:
            return text
        if not self._truncates(options):
            raise invalid(f"`inputs` must have less than {most} characters. Given: {len(text)}")
        return text[:most] if options.direction == "right" else text[-most:]

    def _prompt(self, options: ReadOptions) -> str:
        if self._one_prompt and options.prompt_name is not None:
            raise invalid(
                "the pooling of this model leaves its default prompt out: it can have no other"
            )
        if not options.use_prompt and not self._one_prompt:
            return ""
        if options.prompt_name is None:
            return self._default_prompt
        if options.prompt_name not in self.prompts:
            known = ", ".join(sorted(self.prompts)) or "none"
            raise invalid(f"prompt_name `{options.prompt_name}` is not known. Known: {known}")
        return self.prompts[options.prompt_name]

    def _encode(
        self, copies: Copies, texts: list[Text], direction: str
    ) -> list[tuple[Tokens, int]]:
        """Each text's tokens, and how many were cut off."""
        tokenizer = self._cutting(copies, direction)
        try:
            encoded = tokenizer.encode_batch_fast(texts)
        except Exception as error:  # noqa: BLE001 - a lone surrogate, among others
            raise Refusal(Kind.TOKENIZER, f"the text cannot be tokenised: {error}") from None
        found = []
        for text, each in zip(texts, encoded, strict=True):
            pair = self._segments and isinstance(text, tuple)
            segments = np.array(each.type_ids, np.int32) if pair else None
            lost = 0
            if each.overflowing:
                special = sum(each.special_tokens_mask)
                lost = sum(len(rest.ids) - special for rest in each.overflowing)
            found.append((Tokens(np.array(each.ids, np.int32), segments), max(lost, 0)))
        return found

    def _cutting(self, copies: Copies, direction: str) -> Tokenizer:
        """The copy of these copies' thread that cuts on this side."""
        if direction not in copies:
            tokenizer = self._loaded()
            tokenizer.enable_truncation(self.longest, direction=direction)
            copies[direction] = tokenizer
        return copies[direction]

    def _plain(self, copies: Copies) -> Tokenizer:
        """The copy of these copies' thread that does not cut."""
        if "none" not in copies:
            copies["none"] = self._loaded()
        return copies["none"]

    def _loaded(self) -> Tokenizer:
        if self._file is None:
            raise Refusal(
                Kind.TOKENIZER, "this model has no tokenizer: send token ids instead of texts"
            )
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self._file))


def direction_of(word: str) -> str:
    """The side that is cut, as clients of several libraries write it."""
    lower = word.lower()
    if lower not in ("left", "right"):
        raise invalid(f"truncation_direction `{word}` is not known: use Left or Right")
    return lower


def _characters(text: Text) -> int:
    return len(text) if isinstance(text, str) else len(text[0]) + len(text[1])


def _described(text: str, encoding: Any) -> list[dict[str, Any]]:
    """Tokens with byte offsets; Python's offsets count characters."""
    places = _byte_places(text)
    found: list[dict[str, Any]] = []
    marks: Mapping[int, Any] = dict(enumerate(encoding.special_tokens_mask))
    for index, (id, token, (start, stop)) in enumerate(
        zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True)
    ):
        special = bool(marks[index])
        found.append(
            {
                "id": id,
                "text": token if special else text[start:stop],
                "special": special,
                "start": None if special else places[start],
                "stop": None if special else places[stop],
            }
        )
    return found


def _byte_places(text: str) -> list[int]:
    """The place in UTF-8 bytes of every character, and of the end."""
    places, total = [0], 0
    for character in text:
        total += len(character.encode(errors="surrogatepass"))
        places.append(total)
    return places
