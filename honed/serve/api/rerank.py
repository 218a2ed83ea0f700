"""Reranking: one path, two dialects. A body with `texts` is text-embeddings-inference's, one with
`documents` is Cohere's and Jina's.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import numpy as np

from honed.serve.api.base import Request, Response, Route, answered, encode, error_body
from honed.serve.refusals import Kind, Refusal, empty, invalid
from honed.serve.service import Outcome, Service, Wanted, probabilities
from honed.serve.texts import Input, ReadOptions, direction_of


class _Document(msgspec.Struct):
    text: str


class _Rerank(msgspec.Struct):
    query: str
    texts: list[str] | None = None
    documents: list[str | _Document] | None = None
    model: str | None = None
    truncate: bool | None = None
    truncation_direction: str = "Right"
    raw_scores: bool = False
    return_text: bool = False
    top_n: int | None = None
    return_documents: bool = False
    max_tokens_per_doc: int | None = None


_RERANK = msgspec.json.Decoder(_Rerank)

error = error_body


async def rerank(service: Service, request: Request) -> Response:
    """The texts or documents in the order of their scores, the best first."""
    body = request.decode(_RERANK)
    served = service.need()
    if served.kind != "reranker":
        raise Refusal(Kind.BACKEND, f"{served.name} is not a re-ranker model", "backend")
    if body.documents is not None:
        return await _documents(service, request, body)
    if body.texts is None:
        raise invalid("give `texts`, or `documents`")
    outcome, scores = await _scores(service, request, body, body.texts)
    ranks = []
    for index in np.argsort(-scores, kind="stable"):
        rank: dict[str, Any] = {"index": int(index), "score": float(scores[index])}
        if body.return_text:
            rank["text"] = body.texts[index]
        ranks.append(rank)
    return answered(encode(ranks), outcome)


async def _documents(service: Service, request: Request, body: _Rerank) -> Response:
    assert body.documents is not None
    documents = [each if isinstance(each, str) else each.text for each in body.documents]
    if body.top_n is not None and body.top_n < 0:
        raise invalid("`top_n` cannot be negative")
    outcome, scores = await _scores(service, request, body, documents)
    order = np.argsort(-scores, kind="stable")[: body.top_n or None]
    results = []
    for index in order:
        result: dict[str, Any] = {"index": int(index), "relevance_score": float(scores[index])}
        if body.return_documents:
            result["document"] = {"text": documents[index]}
        results.append(result)
    answer = {
        "id": str(uuid.uuid4()),
        "model": service.need().name,
        "results": results,
        "usage": {"prompt_tokens": outcome.tokens, "total_tokens": outcome.tokens},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }
    return answered(encode(answer), outcome)


async def _scores(
    service: Service, request: Request, body: _Rerank, texts: list[str]
) -> tuple[Outcome, Any]:
    if not texts or not body.query:
        raise empty("`query` and the texts cannot be empty")
    truncate = True if body.documents is not None else body.truncate
    given: list[Input] = [(body.query, text) for text in texts]
    options = ReadOptions(truncate, direction_of(body.truncation_direction))
    wanted = Wanted("rerank", given, options, timeout_s=request.timeout_s,
                    began_s=request.began_s)  # fmt: skip
    outcome = await service.answer(wanted, request.receive)
    return outcome, probabilities(np.stack(outcome.rows), raw=body.raw_scores)[:, 0]


ROUTES = tuple(Route("POST", path, rerank) for path in ("/rerank", "/v1/rerank", "/v2/rerank"))
