"""OpenAI's routes for embeddings and models."""

from __future__ import annotations

import base64
import time
from typing import Any

import msgspec
import numpy as np

from honed.serve.api.base import (
    Request,
    Response,
    Route,
    answered,
    encode,
    encode_rows,
    is_single,
    texts_of,
)
from honed.serve.refusals import Kind, Refusal, invalid
from honed.serve.service import Service, Wanted, normalised, shortened
from honed.serve.texts import ReadOptions


class _Embeddings(msgspec.Struct):
    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)
_BEGAN = int(time.time())


def error(refusal: Refusal) -> bytes:
    """OpenAI's error, and beside it the flat one of text-embeddings-inference."""
    kind, status = refusal.kind.type, refusal.kind.status
    inner = {"message": refusal.message, "type": kind, "param": None, "code": status}
    return encode({"error": inner, "message": refusal.message, "code": status, "type": kind})


async def embeddings(service: Service, request: Request) -> Response:
    """Vectors of length 1, in the order of the texts; texts that are too long are cut."""
    body = request.decode(_EMBEDDINGS)
    served = service.need()
    if not served.embeds:
        raise Refusal(Kind.BACKEND, f"{served.name} is not an embedding model", "backend")
    form = body.encoding_format or "float"
    if form not in ("float", "base64"):
        raise invalid(f"encoding_format `{form}` is not known: use float or base64")
    options = ReadOptions(truncate=True, use_prompt=False)
    wanted = Wanted("openai", texts_of(body.input), options, timeout_s=request.timeout_s,
                    single=is_single(body.input), began_s=request.began_s)  # fmt: skip
    outcome = await service.answer(wanted, request.receive)
    rows = normalised(shortened(np.stack(outcome.rows), body.dimensions))
    vectors: list[bytes] = [
        b'"' + base64.b64encode(row.astype("<f4").tobytes()) + b'"' for row in rows
    ] if form == "base64" else await _each(rows)  # fmt: skip
    data = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector)
        for index, vector in enumerate(vectors)
    )
    usage = {"prompt_tokens": outcome.tokens, "total_tokens": outcome.tokens}
    tail = encode({"model": served.name, "usage": usage})
    return answered(b'{"object":"list","data":[' + data + b"]," + tail[1:], outcome)


async def models(service: Service, _: Request) -> Response:
    return Response(encode({"object": "list", "data": [_model(service)]}))


async def model(service: Service, request: Request) -> Response:
    if request.parameters["model"] != service.need().name:
        raise Refusal(Kind.NOT_FOUND, f"the model is called {service.need().name}")
    return Response(encode(_model(service)))


def _model(service: Service) -> dict[str, Any]:
    return {"id": service.need().name, "object": "model", "created": _BEGAN, "owned_by": "honed"}


async def _each(rows: Any) -> list[bytes]:
    """Each row as JSON."""
    if len(rows) == 1:
        return [encode(rows[0])]
    together = await encode_rows(rows)
    return [b"[" + part + b"]" for part in together[2:-2].split(b"],[")]


ROUTES = (
    Route("POST", "/v1/embeddings", embeddings),
    Route("POST", "/embeddings", embeddings),
    Route("GET", "/v1/models", models),
    Route("GET", "/v1/models/{model}", model),
)
