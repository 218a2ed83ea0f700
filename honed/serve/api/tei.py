"""The routes of text-embeddings-inference (huggingface/text-embeddings-inference 1.9)."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import numpy as np

import honed
from honed.serve.api.base import (
    Request,
    Response,
    Route,
    answered,
    encode,
    encode_rows,
    error_body,
    is_single,
    texts_of,
)
from honed.serve.refusals import Kind, Refusal, empty, invalid
from honed.serve.service import Service, Wanted, normalised, probabilities, shortened
from honed.serve.texts import Input, ReadOptions, direction_of

Inputs = str | list[str | int | list[int]]
_TYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_PER_TOKEN = "pooling=none"  # noqa: S105 - a setting


class _ReadOptions(msgspec.Struct):
    truncate: bool | None = None
    truncation_direction: str = "Right"
    prompt_name: str | None = None

    def options(self) -> ReadOptions:
        return ReadOptions(
            self.truncate, direction_of(self.truncation_direction), self.prompt_name
        )


class _Embed(_ReadOptions, kw_only=True):
    inputs: Inputs
    normalize: bool | None = None
    dimensions: int | None = None


class _Predict(_ReadOptions, kw_only=True):
    inputs: str | list[str | list[str]]
    raw_scores: bool = False
    parameters: Any = None


class _Pair(msgspec.Struct):
    source_sentence: str
    sentences: list[str]


class _Similarity(msgspec.Struct):
    inputs: _Pair
    parameters: _ReadOptions | None = None


class _Tokenize(msgspec.Struct):
    inputs: str | list[str]
    add_special_tokens: bool = True
    prompt_name: str | None = None


class _Decode(msgspec.Struct):
    ids: list[int | list[int]]
    skip_special_tokens: bool = True


class _Any(msgspec.Struct):
    inputs: Any = None


class _Vertex(msgspec.Struct):
    instances: list[msgspec.Raw]


_EMBED = msgspec.json.Decoder(_Embed)
_PREDICT = msgspec.json.Decoder(_Predict)
_SIMILARITY = msgspec.json.Decoder(_Similarity)
_TOKENIZE = msgspec.json.Decoder(_Tokenize)
_DECODE = msgspec.json.Decoder(_Decode)
_ANY = msgspec.json.Decoder(_Any)
_VERTEX = msgspec.json.Decoder(_Vertex)

error = error_body


async def embed(service: Service, request: Request) -> Response:
    """[[f32]], also for one text."""
    body = request.decode(_EMBED)
    _need_embeddings(service)
    wanted = _wanted("embed", request, body.inputs, body.options())
    outcome = await service.answer(wanted, request.receive)
    rows = shortened(np.stack(outcome.rows), body.dimensions)
    if body.normalize is not False:
        rows = normalised(rows)
    return answered(await encode_rows(rows), outcome)


async def embed_all(service: Service, request: Request) -> Response:
    """[[[f32]]], a vector for each token, special ones included."""
    body = request.decode(_EMBED)
    _need_embeddings(service)
    if service.need().checkpoint.pooling != "none":
        raise Refusal(
            Kind.BACKEND,
            f"the engine was loaded with pooling, and gives no vectors of tokens: serve with "
            f"{_PER_TOKEN}",
        )
    wanted = _wanted("embed_all", request, body.inputs, body.options())
    wanted.per_token = True
    outcome = await service.answer(wanted, request.receive)
    return answered(await encode_rows(outcome.rows), outcome)


async def embed_sparse(service: Service, request: Request) -> Response:
    """SPLADE models are not served."""
    request.decode(_EMBED)
    raise Refusal(Kind.BACKEND, f"{service.need().name} is not a SPLADE model")


async def predict(service: Service, request: Request) -> Response:
    """The labels of a text with their scores, the highest first; of a batch, a list of these.

    Two strings in a list are one pair of texts, and not two texts.
    """
    body = request.decode(_PREDICT)
    served = service.need()
    if served.embeds:
        raise Refusal(Kind.BACKEND, f"{served.name} is not a classifier model")
    given, single = _texts_or_pairs(body.inputs)
    wanted = Wanted("predict", given, body.options(), timeout_s=request.timeout_s, single=single,
                    began_s=request.began_s)  # fmt: skip
    wanted.per_token = served.kind == "token-classifier"
    outcome = await service.answer(wanted, request.receive)
    answers: list[Any]
    if wanted.per_token:
        assert service.texts is not None
        answers = []
        for text, row in zip(given, outcome.rows, strict=True):
            pieces = await service.texts.pieces(text, wanted.options)
            scores = probabilities(row, raw=body.raw_scores)
            answers.append(_tokens_labelled(served.labels, pieces, scores))
    else:
        answers = [_labelled(served.labels, probabilities(row, raw=body.raw_scores))
                   for row in outcome.rows]  # fmt: skip
    # huggingface_hub sends `parameters` to the root, even empty, and reads a list of lists.
    nested = not single or (body.parameters is not None and request.path == "/")
    return answered(encode(answers if nested else answers[0]), outcome)


async def similarity(service: Service, request: Request) -> Response:
    """[f32], the cosine of the source with each sentence."""
    body = request.decode(_SIMILARITY)
    _need_embeddings(service)
    if not body.inputs.sentences:
        raise empty("`inputs.sentences` cannot be empty")
    given: list[Input] = [body.inputs.source_sentence, *body.inputs.sentences]
    options = (body.parameters or _ReadOptions()).options()
    wanted = Wanted("similarity", given, options, timeout_s=request.timeout_s,
                    began_s=request.began_s)  # fmt: skip
    outcome = await service.answer(wanted, request.receive)
    rows = normalised(np.stack(outcome.rows))
    return answered(encode(np.ascontiguousarray(rows[1:] @ rows[0])), outcome)


async def tokenize(service: Service, request: Request) -> Response:
    """[[{id, text, special, start, stop}]]; places count bytes of UTF-8."""
    body = request.decode(_TOKENIZE)
    service.need()
    assert service.texts is not None
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    if not texts or not all(texts):
        raise empty()
    _need_few(service, len(texts))
    prompts = service.texts.prompts
    if body.prompt_name is not None:
        if body.prompt_name not in prompts:
            raise invalid(f"prompt_name `{body.prompt_name}` is not known")
        texts = [prompts[body.prompt_name] + text for text in texts]
    return Response(encode(await service.texts.tokens_of(texts, special=body.add_special_tokens)))


async def decode(service: Service, request: Request) -> Response:
    """[str]"""
    body = request.decode(_DECODE)
    service.need()
    assert service.texts is not None
    rows = [body.ids] if body.ids and isinstance(body.ids[0], int) else body.ids
    if not rows or not all(isinstance(row, list) and row for row in rows):
        raise empty("`ids` cannot be empty")
    if not all(isinstance(each, int) for row in rows for each in row):  # type: ignore[union-attr]
        raise invalid("`ids` must be a list of token ids, or a list of such lists")
    _need_few(service, len(rows))
    decoded = await service.texts.decode(rows, skip_special=body.skip_special_tokens)  # type: ignore[arg-type]
    return Response(encode(decoded))


async def info(service: Service, _: Request) -> Response:
    """What is served, and the limits."""
    served, settings = service.need(), service.settings
    assert service.dispatcher is not None
    assert service.texts is not None
    labels = served.labels if not served.embeds else []
    names = {"id2label": {str(i): label for i, label in enumerate(labels)},
             "label2id": {label: i for i, label in enumerate(labels)}}  # fmt: skip
    kind: dict[str, Any] = {"classifier": names}
    if served.embeds:
        kind = {"embedding": {"pooling": served.checkpoint.pooling}}
    elif served.kind == "reranker":
        kind = {"reranker": names}
    precision = served.case.precision
    return Response(
        encode(
            {
                "model_id": served.case.model,
                "model_sha": None,
                "model_dtype": _TYPES.get(precision, precision),
                "served_model_name": served.name,
                "model_type": kind,
                "max_concurrent_requests": settings.max_client_batch,
                "max_input_length": served.longest,
                "max_batch_tokens": service.dispatcher.rules.batch_tokens,
                "max_batch_requests": settings.batch_rows,
                "max_client_batch_size": settings.max_client_batch,
                "auto_truncate": settings.auto_truncate,
                "tokenization_workers": service.texts.threads,
                "version": honed.__version__,
                "sha": None,
                "docker_label": None,
                "honed": {
                    "backend": served.case.backend,
                    "precision": precision,
                    "instances": served.case.instances,
                    "status": served.record.status,
                    "notices": list(served.notices),
                },
            }
        )
    )


async def by_task(service: Service, request: Request) -> Response:
    """The route of the model's own task."""
    served = service.need()
    asked = request.decode(_ANY)
    if isinstance(asked.inputs, dict) and served.embeds:
        return await similarity(service, request)
    if os.environ.get("TASK") == "sentence-similarity":
        return await similarity(service, request)
    if served.kind == "reranker" and asked.inputs is None:
        from honed.serve.api.rerank import rerank

        return await rerank(service, request)
    return await (embed if served.embeds else predict)(service, request)


async def vertex(service: Service, request: Request) -> Response:
    """{"predictions": [...]}, one for each instance, each the body of a request to the root."""
    body = request.decode(_VERTEX)
    if not body.instances:
        raise empty("`instances` cannot be empty")
    _need_few(service, len(body.instances))
    answers = []
    for instance in body.instances:
        single = Request("POST", "/", request.headers, bytes(instance), request.receive)
        answers.append((await by_task(service, single)).body)
    return Response(b'{"predictions":[' + b",".join(answers) + b"]}")


def _wanted(route: str, request: Request, inputs: Any, options: ReadOptions) -> Wanted:
    return Wanted(route, texts_of(inputs), options, timeout_s=request.timeout_s,
                  single=is_single(inputs), began_s=request.began_s)  # fmt: skip


def _need_embeddings(service: Service) -> None:
    served = service.need()
    if not served.embeds:
        raise Refusal(Kind.BACKEND, f"{served.name} is not an embedding model", "backend")


def _need_few(service: Service, count: int) -> None:
    most = service.settings.max_client_batch
    if count > most:
        raise invalid(f"batch size {count} > maximum allowed batch size {most} (max_client_batch)")


def _texts_or_pairs(inputs: str | list[str | list[str]]) -> tuple[list[Input], bool]:
    """The texts and pairs of a classifier's `inputs`, and whether they are a single one."""
    if isinstance(inputs, str):
        return [inputs], True
    if not inputs:
        raise empty()
    if all(isinstance(each, str) for each in inputs):
        if len(inputs) != 2:
            raise invalid("`inputs` must be a text, a pair of texts, or a list of lists of these")
        return [(str(inputs[0]), str(inputs[1]))], True
    given: list[Input] = []
    for each in inputs:
        if isinstance(each, str) or len(each) not in (1, 2):
            raise invalid("each of a batch of `inputs` must be a list of one or two texts")
        given.append(each[0] if len(each) == 1 else (each[0], each[1]))
    return given, False


def _labelled(labels: list[str], scores: Any) -> list[dict[str, Any]]:
    order = np.argsort(-scores, kind="stable")
    return [{"score": float(scores[i]), "label": labels[i]} for i in order]


def _tokens_labelled(
    labels: list[str], pieces: list[tuple[str | None, int, int]], scores: Any
) -> list[dict[str, Any]]:
    """The label of each token, with its place in characters, as a token classifier gives them.
    `scores` are [tokens, labels]."""
    found = []
    for index, (row, (word, start, stop)) in enumerate(zip(scores, pieces, strict=True)):
        if word is None:
            continue
        best = int(row.argmax())
        found.append({"entity": labels[best], "score": float(row[best]), "index": index,
                      "word": word, "start": start, "end": stop})  # fmt: skip
    return found


ROUTES = (
    Route("POST", "/embed", embed),
    Route("POST", "/embed_all", embed_all),
    Route("POST", "/embed_sparse", embed_sparse),
    Route("POST", "/predict", predict),
    Route("POST", "/similarity", similarity),
    Route("POST", "/tokenize", tokenize),
    Route("POST", "/decode", decode),
    Route("GET", "/info", info),
    Route("POST", "/", by_task),
    Route("POST", "/invocations", by_task),
    Route("POST", "/vertex", vertex),
)
