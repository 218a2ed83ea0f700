"""Texts and ids that nobody sends on purpose, each with the answer that it gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import InProcess
from served import LONGEST

MOST = 2048  # texts in one request


@pytest.fixture(scope="module")
def application(model: Path) -> Iterator[InProcess]:
    made = InProcess(model)
    yield made
    made.close()


@pytest.mark.parametrize("text", ["a" * 2**20, " " * 10**6, "a " * 10**6], ids=len)
def test_a_huge_text_is_cut_or_refused(application: InProcess, text: str) -> None:
    cut = application.ask("/embed", {"inputs": text})
    assert cut.status == 200
    assert np.isfinite(cut.json).all()
    refused = application.ask("/embed", {"inputs": text, "truncate": False})
    assert refused.status == 422
    assert "must have less than" in refused.json["error"]


def test_the_longest_text_is_whole_and_one_token_more_is_not(application: InProcess) -> None:
    whole, more = "cat " * (LONGEST - 2), "cat " * (LONGEST - 1)
    answer = application.ask("/embed", {"inputs": whole, "truncate": False})
    assert answer.status == 200
    assert answer.headers["x-compute-tokens"] == str(LONGEST)
    assert application.ask("/embed", {"inputs": more, "truncate": False}).status == 422
    cut = application.ask("/embed", {"inputs": more})
    assert cut.headers["x-truncated"] == "1"
    assert cut.headers["x-compute-tokens"] == str(LONGEST)


@pytest.mark.parametrize(
    "text", ["\U0001f642 ", "\u05e9\u05dc\u05d5\u05dd ", "\u202ea\u202c ", "\0 b "]
)
def test_unusual_characters_are_cut_at_the_limit(application: InProcess, text: str) -> None:
    answer = application.ask("/embed", {"inputs": text * 2 * LONGEST})
    assert answer.status == 200
    assert answer.headers["x-compute-tokens"] == str(LONGEST)


@pytest.mark.parametrize(
    "inputs",
    [[[2, 3.5]], [[2.0, 3.0]], [[["the cat"]]], [["the", "cat"]], [None], {"text": "the cat"},
     [[2, True]], 2**70],
)  # fmt: skip
def test_what_is_neither_text_nor_ids_is_refused(application: InProcess, inputs: Any) -> None:
    answer = application.ask("/embed", {"inputs": inputs})
    assert answer.status in (400, 422)
    assert answer.json["error_type"] == "Validation"


def test_the_last_of_two_equal_keys_counts(application: InProcess) -> None:
    twice = application.ask("/embed", b'{"inputs": "a dog", "inputs": "the cat"}')
    assert twice.body == application.ask("/embed", {"inputs": "the cat"}).body


def test_as_many_texts_as_one_request_may_have(application: InProcess) -> None:
    texts = ["the cat", "a dog on the mat"] * (MOST // 2)
    answer = application.ask("/embed", {"inputs": texts})
    assert answer.status == 200
    rows = np.array(answer.json)
    assert len(rows) == MOST
    np.testing.assert_array_equal(rows[::2], np.tile(rows[0], (MOST // 2, 1)))
    np.testing.assert_array_equal(rows[1::2], np.tile(rows[1], (MOST // 2, 1)))
    refused = application.ask("/embed", {"inputs": [*texts, "a"]})
    assert refused.status == 422
    assert "max_client_batch" in refused.json["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"inputs": []}),
        ("/v1/embeddings", {"input": []}),
        ("/v2/models/tiny-embedder/infer",
         {"inputs": [{"name": "t", "shape": [0], "datatype": "BYTES", "data": []}]}),
    ],
)  # fmt: skip
def test_no_texts_are_refused_while_others_wait(
    application: InProcess, path: str, body: Any
) -> None:
    """Admission looks at a request before it is tokenised, but only while texts are queued."""
    dispatcher = application.service.dispatcher
    assert dispatcher is not None
    dispatcher.queued = 1
    try:
        answer = application.ask(path, body)
    finally:
        dispatcher.queued = 0
    assert answer.status == 400
    assert "cannot be empty" in answer.body.decode()


def test_a_model_may_have_a_slash_in_its_name(application: InProcess) -> None:
    served = application.service.need()
    before, served.name = served.name, "org/tiny"
    try:
        assert application.ask("/v1/models/org/tiny").json["id"] == "org/tiny"
        assert application.ask("/v2/models/org/tiny").json["name"] == "org/tiny"
        assert application.ask("/v2/models/org/tiny/versions/1").json["name"] == "org/tiny"
        assert application.ask("/v2/models/org/tiny/ready").json["ready"] is True
        assert application.ask("/v2/models/org/tiny/versions/1/ready").json["ready"] is True
        given = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["the cat"]}
        for path in ("/v2/models/org/tiny/infer", "/v2/models/org/tiny/versions/1/infer"):
            assert application.ask(path, {"inputs": [given]}).json["model_name"] == "org/tiny"
        wrong = application.ask("/v2/models/org/other")
        assert wrong.status == 404
        assert "this one is called org/tiny" in wrong.json["error"]
    finally:
        served.name = before
