"""The open inference protocol (KServe v2): health, metadata, and infer with one input of texts."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import numpy as np

import honed
from honed.serve.api.base import Request, Response, Route, answered, encode
from honed.serve.refusals import Kind, Refusal, invalid
from honed.serve.service import Service, Wanted, normalised


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[str | list[str]]


class _Infer(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None


_INFER = msgspec.json.Decoder(_Infer)


def error(refusal: Refusal) -> bytes:
    return encode({"error": refusal.message})


async def live(_: Service, __: Request) -> Response:
    return Response(encode({"live": True}))


async def ready(service: Service, _: Request) -> Response:
    """200, or 503 while no worker can answer."""
    return Response(encode({"live": service.ready, "ready": service.ready}),
                    200 if service.ready else 503)  # fmt: skip


async def server(_: Service, __: Request) -> Response:
    return Response(encode({"name": "honed", "version": honed.__version__, "extensions": []}))


async def metadata(service: Service, request: Request) -> Response:
    _need_name(service, request)
    output = {"name": "output", "datatype": "FP32", "shape": [-1, -1]}
    described = {"name": service.need().name, "platform": service.need().case.backend,
                 "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
                 "outputs": [output]}  # fmt: skip
    return Response(encode(described))


async def infer(service: Service, request: Request) -> Response:
    """One row of FP32 for each text: its vector of length 1, or its logits."""
    _need_name(service, request)
    body = request.decode(_INFER)
    if len(body.inputs) != 1 or body.inputs[0].datatype != "BYTES":
        raise invalid("give one input of datatype BYTES, which holds the texts")
    texts: list[Any] = []
    for each in body.inputs[0].data:
        texts += each if isinstance(each, list) else [each]
    served = service.need()
    if served.kind == "token-classifier":
        raise Refusal(Kind.BACKEND, "a token classifier has no output of one shape", "backend")
    wanted = Wanted("infer", texts, timeout_s=request.timeout_s, began_s=request.began_s)
    outcome = await service.answer(wanted, request.receive)
    rows = np.stack(outcome.rows)
    if served.embeds:
        rows = normalised(rows)
    output = {"name": "output", "datatype": "FP32", "shape": list(rows.shape),
              "data": rows.ravel()}  # fmt: skip
    body_of_answer = {"model_name": served.name, "id": body.id or str(uuid.uuid4()),
                      "outputs": [output]}  # fmt: skip
    return answered(encode(body_of_answer), outcome)


def _need_name(service: Service, request: Request) -> None:
    name, asked = service.need().name, request.parameters["model"]
    if asked != name:
        raise Refusal(Kind.NOT_FOUND, f"no model is called {asked}: this one is called {name}")


ROUTES = (
    Route("GET", "/v2/health/live", live, open=True),
    Route("GET", "/v2/health/ready", ready, open=True),
    Route("GET", "/v2/models/{model}/ready", ready, open=True),
    Route("GET", "/v2", server),
    Route("GET", "/v2/models/{model}", metadata),
    Route("GET", "/v2/models/{model}/versions/{version}", metadata),
    Route("GET", "/v2/models/{model}/versions/{version}/ready", ready, open=True),
    Route("POST", "/v2/models/{model}/infer", infer),
    Route("POST", "/v2/models/{model}/versions/{version}/infer", infer),
)
