"""For any body the answer is JSON with a status from the list, and the server lives."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process import InProcess

from honed.serve import app

STATUSES = {200, 400, 413, 415, 422, 424, 429, 503, 504}
POSTED = ["/embed", "/embed_all", "/embed_sparse", "/predict", "/rerank", "/v1/rerank",
          "/similarity", "/tokenize", "/decode", "/v1/embeddings", "/", "/invocations", "/vertex",
          "/v2/models/tiny-embedder/infer"]  # fmt: skip
KEYS = ["inputs", "input", "ids", "query", "texts", "documents", "truncate", "normalize",
        "dimensions", "truncation_direction", "prompt_name", "encoding_format", "instances",
        "parameters", "raw_scores", "top_n", "source_sentence", "sentences", "name", "shape",
        "datatype", "data"]  # fmt: skip
SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 3.5, 2**31, 2**63, -(2**70), 1e308, float("nan"), float("inf"),
    "", " ", "the cat", "\0", "\ud800", "\U0001f642" * 9, "[PAD]", "Left", "up", "base64", "query",
    "FP32", "BYTES", "a" * 3000, "\u202eover", [], {}, [2, 7, 3], [[2, 3]], ["a", ""], ["a", 1],
]  # fmt: skip
COUNT = 10_000


@pytest.fixture(scope="module")
def application(model: Path) -> Iterator[InProcess]:
    made = InProcess(model)
    yield made
    made.close()


def value(draw: random.Random, depth: int) -> Any:
    kind = draw.random()
    if depth == 0 or kind < 0.5:
        return draw.choice(SCALARS)
    if kind < 0.75:
        return [value(draw, depth - 1) for _ in range(draw.randint(0, 4))]
    return {draw.choice(KEYS): value(draw, depth - 1) for _ in range(draw.randint(0, 4))}


def body(draw: random.Random) -> bytes:
    """Mostly JSON of about the right shape; sometimes cut, with a byte changed, or only bytes."""
    if draw.random() < 0.05:
        return draw.randbytes(draw.randint(0, 60))
    made = {draw.choice(KEYS[:8]): value(draw, 3) for _ in range(draw.randint(0, 3))}
    made |= {draw.choice(KEYS): value(draw, 2) for _ in range(draw.randint(0, 2))}
    text = bytearray(json.dumps(made, ensure_ascii=draw.random() < 0.5).encode(errors="replace"))
    if draw.random() < 0.1:
        del text[draw.randint(0, len(text)) :]
    elif draw.random() < 0.1 and text:
        text[draw.randrange(len(text))] = draw.randrange(256)
    return bytes(text)


def test_ten_thousand_bodies_are_answered_in_json(
    application: InProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error of the server's own would be a 500, and would print a traceback."""
    draw = random.Random(0)
    found = set()
    for number in range(COUNT):
        path, sent = draw.choice(POSTED), body(draw)
        answer = application.ask(path, sent)
        found.add(answer.status)
        assert answer.status in STATUSES, (number, path, sent, answer.body)
        if answer.body:
            json.loads(answer.body)
    assert {200, 400, 422, 424} <= found
    assert "Traceback" not in capfd.readouterr().err
    assert application.ask("/embed", b'{"inputs": "the cat"}').status == 200


def test_a_body_that_stops_coming_is_refused(
    application: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_BODY_S", 0.02)
    for parts in ([None], [b'{"inputs": ', None]):
        answer = application.loop.run_until_complete(application.answer("/embed", parts))
        assert answer.status == 504
        assert answer.headers["connection"] == "close"
        assert "the body did not come" in answer.json["error"]


def test_a_body_in_parts_is_put_together_and_bounded(application: InProcess) -> None:
    whole = b'{"inputs": "the cat"}'
    parts: list[bytes | None] = [whole[at : at + 1] for at in range(len(whole))]
    answer = application.loop.run_until_complete(application.answer("/embed", parts))
    assert answer.status == 200
    most = application.settings.max_body_bytes
    many: list[bytes | None] = [b" " * (most // 4)] * 5
    assert application.loop.run_until_complete(application.answer("/embed", many)).status == 413
