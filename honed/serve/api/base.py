"""What every family of routes offers, and what its handlers see of a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

import msgspec
import numpy as np
import orjson

import honed.discovery
from honed.serve.refusals import Kind, Refusal, invalid
from honed.serve.service import Outcome, Service
from honed.serve.texts import Input

_ROOM = "honed.serve.api"
T = TypeVar("T")
# orjson holds Python's lock while it writes: this many numbers take about 5 ms.
_NUMBERS_AT_ONCE = 100_000


@dataclass(slots=True)
class Request:
    """One HTTP request whose body has been read. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    receive: Any
    parameters: Mapping[str, str] = field(default_factory=dict)
    began_s: float = field(default_factory=time.perf_counter)

    def decode(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as JSON of the decoder's shape. Unknown fields are ignored.

        Raises Refusal: 415 for another type of content, 400 for no JSON, 422 for another shape.
        """
        content = self.headers.get("content-type", "").lower()
        if "json" not in content or self.headers.get("content-encoding", "identity") != "identity":
            raise Refusal(
                Kind.MEDIA,
                "Expected request with `Content-Type: application/json`, uncompressed",
            )
        try:
            return decoder.decode(self.body)
        except msgspec.ValidationError as error:
            raise invalid(
                f"Failed to deserialize the JSON body into the target type: {error}"
            ) from None
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise Refusal(
                Kind.BAD_JSON, f"Failed to parse the request body as JSON: {error}"
            ) from None

    @property
    def timeout_s(self) -> float | None:
        """How long the client will wait, if it says so."""
        text = self.headers.get("x-request-timeout-ms")
        if text is None:
            return None
        try:
            milliseconds = float(text)
        except ValueError:
            milliseconds = 0.0
        if not 0 < milliseconds < 1e9:
            raise invalid(f"x-request-timeout-ms `{text[:40]}` is not a number of milliseconds")
        return milliseconds / 1000


@dataclass(slots=True)
class Response:
    """One HTTP answer. `outcome` is for the access log."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    outcome: Outcome | None = None


Handler = Callable[[Service, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path. `{model}` stands for the name of a model, which may have slashes; any other part
    in braces stands for one segment. An `open` route needs no key, and answers while the server
    starts."""

    method: str
    path: str
    handler: Handler
    open: bool = False


class Family(Protocol):
    """The names that a file of routes defines."""

    ROUTES: tuple[Route, ...]

    def error(self, refusal: Refusal) -> bytes:
        """The body of a refusal in this family's dialect."""


def families() -> Mapping[str, Family]:
    """Every file of routes by its name."""
    survey = honed.discovery.survey(_ROOM, Family)
    for broken in survey.broken.values():
        raise broken
    return cast(Mapping[str, Family], survey.working)


def encode(answer: Any) -> bytes:
    """JSON; arrays of float32 are written with the fewest digits that give them back."""
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


async def encode_rows(rows: Sequence[np.ndarray[Any, Any]] | np.ndarray[Any, Any]) -> bytes:
    """A list of arrays as JSON. Other requests get their turn between the parts of a large
    one."""
    size = rows.size if isinstance(rows, np.ndarray) else sum(row.size for row in rows)
    if size <= _NUMBERS_AT_ONCE or len(rows) < 2:
        return encode(rows)
    step = max(1, len(rows) * _NUMBERS_AT_ONCE // size)
    parts = []
    for start in range(0, len(rows), step):
        parts.append(encode(rows[start : start + step])[1:-1])
        await asyncio.sleep(0)
    return b"[" + b",".join(parts) + b"]"


def answered(body: bytes, outcome: Outcome) -> Response:
    """A response with the headers that say what it cost, in milliseconds.

    The names are those of text-embeddings-inference, which gives whole milliseconds;
    `server-timing` has the fractions.
    """
    times = outcome.times
    parts = {
        "total": times.total_s, "tokenize": times.tokenize_s, "queue": times.queue_s,
        "infer": times.infer_s, "predicted": times.predicted_s,
    }  # fmt: skip
    total_ms = str(int(times.total_s * 1e3))
    headers = {
        "x-compute-type": "cpu",
        "x-compute-time": total_ms,
        "x-compute-characters": str(outcome.characters),
        "x-compute-tokens": str(outcome.tokens),
        "x-total-time": total_ms,
        "x-tokenization-time": str(int(times.tokenize_s * 1e3)),
        "x-queue-time": str(int(times.queue_s * 1e3)),
        "x-inference-time": str(int(times.infer_s * 1e3)),
        "server-timing": ", ".join(f"{name};dur={s * 1e3:.2f}" for name, s in parts.items()),
    }
    if outcome.cut:
        headers["x-truncated"] = str(outcome.cut)
    return Response(body, headers=headers, outcome=outcome)


def texts_of(inputs: str | list[Any]) -> list[Input]:
    """The texts of an `inputs` field: one text, one list of ids, or a list of either."""
    if isinstance(inputs, str):
        return [inputs]
    if inputs and all(isinstance(each, int) for each in inputs):
        return [list(inputs)]
    if any(isinstance(each, int) for each in inputs):
        raise invalid("`inputs` mixes token ids with texts: put the ids into lists of their own")
    return list(inputs)


def is_single(inputs: Any) -> bool:
    """Whether `inputs` is one text rather than a list of texts."""
    return isinstance(inputs, str) or (bool(inputs) and isinstance(inputs[0], int))


def error_body(refusal: Refusal) -> bytes:
    """The error body of text-embeddings-inference."""
    return encode({"error": refusal.message, "error_type": refusal.kind.type})
