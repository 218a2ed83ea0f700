"""Texts to tokens and back: pieces stand where their rows stand, and long texts leave the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import LONGEST

from honed.models.checkpoint import ModelRequest
from honed.models.obtain import materialise
from honed.serve.asks import make_tokenizer
from honed.serve.texts import ReadOptions, Texts


@pytest.fixture(scope="module")
def texts(model: Path) -> Iterator[Texts]:
    checkpoint = materialise(ModelRequest(str(model)))
    made = Texts(checkpoint, make_tokenizer(checkpoint), LONGEST, auto_truncate=True)
    yield made
    made.close()


def vocabulary(texts: Texts) -> dict[str, int]:
    tokenizer = texts._loaded()
    return dict(tokenizer.get_vocab())


@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize(
    "given",
    ["the cat sat", "dog " * LONGEST + "the cat", "the cat " * 70_000],
    ids=["short", "cut", "cut by characters"],
)
def test_pieces_are_those_of_the_tokens_that_were_computed(
    texts: Texts, direction: str, given: str
) -> None:
    """Also where the text is cut on the left: each label would else stand at another word."""
    options = ReadOptions(direction=direction)
    ids = asyncio.run(texts.read([given], options)).tokens[0].ids
    pieces = asyncio.run(texts.pieces(given, options))
    assert len(pieces) == len(ids)
    number_of = vocabulary(texts)
    for each, (word, start, stop) in zip(ids.tolist(), pieces, strict=True):
        if word is not None:
            assert number_of[word] == each
            assert given[start:stop] == word
    assert pieces[0][0] is None
    assert pieces[-1][0] is None


def test_a_prompt_has_no_pieces_of_the_client(texts: Texts) -> None:
    pieces = asyncio.run(texts.pieces("a dog", ReadOptions(prompt_name="query")))
    assert [word for word, _, _ in pieces if word is not None] == ["a", "dog"]
    assert [(start, stop) for word, start, stop in pieces if word is not None] == [(0, 1), (2, 5)]


def test_pieces_of_ids_are_cut_on_the_same_side(texts: Texts) -> None:
    ids = list(range(5, 60)) * 12
    for direction in ("left", "right"):
        options = ReadOptions(direction=direction)
        kept = asyncio.run(texts.read([ids], options)).tokens[0].ids.tolist()
        pieces = asyncio.run(texts.pieces(ids, options))
        assert [word for word, _, _ in pieces] == [str(each) for each in kept]


@pytest.mark.parametrize("long", [False, True])
def test_long_texts_are_tokenised_and_ids_decoded_in_a_thread(
    texts: Texts, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the event loop, one large request to /tokenize would hold up all others."""
    seen: list[str] = []
    plain = Texts._plain

    def watched(self: Texts, copies: object) -> object:
        seen.append(threading.current_thread().name)
        return plain(self, copies)  # type: ignore[arg-type]

    monkeypatch.setattr(Texts, "_plain", watched)
    text = "the cat " * (5000 if long else 1)
    tokens = asyncio.run(texts.tokens_of([text], special=False))[0]
    ids = [[token["id"] for token in tokens]]
    assert asyncio.run(texts.decode(ids, skip_special=True)) == [text.strip()]
    assert all(name.startswith("tokenizer") == long for name in seen)
    assert len(seen) == 2
