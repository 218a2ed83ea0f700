"""The ASGI application: it finds the route, reads the body, and says errors in the route's
dialect. Every answer is JSON, except the metrics and the page.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import IO, Any

from honed.serve.api.base import Family, Request, Response, Route, encode, error_body, families
from honed.serve.refusals import Kind, Refusal
from honed.serve.service import Service
from honed.serve.traces import Traces

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BODY_S = 30.0  # for the next part of a body to come
_FLUSH_S = 0.5  # until a line of the access log is in its file
_ALLOWED = "authorization, content-type, x-request-timeout-ms"


class App:
    """Small on purpose: a table of routes and no framework. A framework's models and serialisers
    would take longer than the rest of a request."""

    def __init__(
        self, service: Service, log: IO[str] | None = None, traces: Traces | None = None
    ) -> None:
        self.service = service
        self._log = log
        self._flushing: asyncio.TimerHandle | None = None
        self._traces = traces
        self._keys = service.settings.keys()
        self._cors = service.settings.cors
        self._exact: dict[tuple[str, str], tuple[Route, Family]] = {}
        self._patterns: list[tuple[re.Pattern[str], Route, Family]] = []
        self._paths: dict[str, set[str]] = {}
        for family in families().values():
            for route in family.ROUTES:
                self._paths.setdefault(route.path, set()).add(route.method)
                if "{" in route.path:
                    self._patterns.append((_pattern(route.path), route, family))
                else:
                    self._exact[route.method, route.path] = route, family
        # `/v2/models/{model}` would also match `/v2/models/x/ready`, so longer paths go first.
        self._patterns.sort(key=lambda each: each[1].path.count("/"), reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_s = time.perf_counter()
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        request = Request(scope["method"], scope["path"], headers, b"", receive, {}, began_s)
        route, family = None, None
        try:
            route, family = self._find(request)
            self._check_key(route, headers)
            if request.method == "POST":
                request.body = await self._body(headers, receive)
            response = await route.handler(self.service, request)
        except Refusal as refusal:
            response = self._refused(refusal, family)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - a bug must not end the connection without an answer
            traceback.print_exc()
            fault = Refusal(Kind.INTERNAL, "an error of the server; its log has the traceback")
            response = self._refused(fault, family)
        await self._send(send, response)
        if self._log is not None:
            self._write_line(request, response)
        if self._traces is not None:
            took_s = time.perf_counter() - began_s
            name = f"{request.method} {route.path if route is not None else 'unknown'}"
            self._traces.add(name, headers, response.status, took_s, response.outcome)

    def _find(self, request: Request) -> tuple[Route, Family]:
        method = "GET" if request.method == "HEAD" else request.method
        if method == "OPTIONS" and self._cors:
            return Route("OPTIONS", request.path, _preflight, open=True), _Plain()
        found = self._exact.get((method, request.path))
        if found is not None:
            return found
        for pattern, route, family in self._patterns:
            match = pattern.fullmatch(request.path)
            if match and route.method == method:
                request.parameters = match.groupdict()
                return route, family
        if methods := self._paths.get(request.path):
            raise Refusal(Kind.METHOD, f"{request.path} takes {' and '.join(sorted(methods))}",
                          "not_found", {"allow": ", ".join(sorted(methods))})  # fmt: skip
        raise Refusal(Kind.NOT_FOUND, f"there is no {request.path}", "not_found")

    def _check_key(self, route: Route, headers: Mapping[str, str]) -> None:
        """A key may come without "Bearer", as some clients send it."""
        if not self._keys or route.open:
            return
        given = headers.get("authorization", "")
        key_given = given[7:] if given[:7].lower() == "bearer " else given
        as_sent = key_given.strip().encode("latin-1")  # the bytes of the header, which were UTF-8
        if not any(hmac.compare_digest(as_sent, key.encode()) for key in self._keys):
            raise Refusal(Kind.UNAUTHORIZED, "give the key: Authorization: Bearer KEY",
                          "unauthorized", {"www-authenticate": "Bearer"})  # fmt: skip

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        most = self.service.settings.max_body_bytes
        too_large = Refusal(
            Kind.TOO_LARGE, f"length limit exceeded: a body has {most} bytes at most "
            "(max_body_bytes)", "too_large", {"connection": "close"},
        )  # fmt: skip
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            raise too_large
        message = await _within(receive, _BODY_S)
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body"):
                message = await _within(receive, _BODY_S)
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
            body = b"".join(parts)
        return body

    def _refused(self, refusal: Refusal, family: Family | None) -> Response:
        self.service.metrics.refused(refusal.reason)
        body = error_body(refusal) if family is None else family.error(refusal)
        return Response(body, refusal.kind.status, headers=refusal.headers)

    async def _send(self, send: Send, response: Response) -> None:
        headers = [
            (b"content-type", response.content_type.encode()),
            (b"content-length", str(len(response.body)).encode()),
            *((k.encode(), v.encode("latin-1", "replace")) for k, v in response.headers.items()),
        ]
        if self._cors:
            headers.append((b"access-control-allow-origin", self._cors.encode()))
        start = {"type": "http.response.start", "status": response.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": response.body})

    def _write_line(self, request: Request, response: Response) -> None:
        """One line of JSON: what was asked, and where the time went."""
        line: dict[str, Any] = {
            "at": round(time.time(), 3), "method": request.method, "path": request.path,
            "status": response.status,
            "total_s": round(time.perf_counter() - request.began_s, 6),
        }  # fmt: skip
        if (outcome := response.outcome) is not None:
            times = outcome.times
            line |= {
                "texts": len(outcome.lengths), "tokens": outcome.tokens,
                "tokenize_s": round(times.tokenize_s, 6), "queue_s": round(times.queue_s, 6),
                "infer_s": round(times.infer_s, 6),
            }  # fmt: skip
        assert self._log is not None
        self._log.write(encode(line).decode() + "\n")
        if self._log is sys.stderr:
            self._log.flush()
        elif self._flushing is None:  # a line is seen soon, and many lines are one write
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_S, self._flush)

    def _flush(self) -> None:
        assert self._log is not None
        self._flushing = None
        self._log.flush()


def _pattern(path: str) -> re.Pattern[str]:
    """What matches a path with parts in braces. A model may be called `org/name`, as on the hub;
    every other part is one segment."""
    with_models = path.replace("{model}", "(?P<model>.+)")
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", with_models))


class _Plain:
    """The dialect of answers that no family gives."""

    ROUTES: tuple[Route, ...] = ()

    def error(self, refusal: Refusal) -> bytes:
        return error_body(refusal)


async def _preflight(_: Service, __: Request) -> Response:
    """What browsers ask before they send a key."""
    headers = {"access-control-allow-methods": "GET, POST",
               "access-control-allow-headers": _ALLOWED, "vary": "origin"}  # fmt: skip
    return Response(status=204, headers=headers)


async def _within(receive: Receive, seconds: float) -> MutableMapping[str, Any]:
    task = asyncio.current_task()
    assert task is not None
    late = False

    def end() -> None:
        nonlocal late
        late = True
        task.cancel()

    # asyncio.timeout does the same in five times the time, and nearly every body is here already.
    timer = asyncio.get_running_loop().call_later(seconds, end)
    try:
        message = await receive()
    except asyncio.CancelledError:
        if not late or task.uncancel():
            raise
        raise Refusal(Kind.TIMEOUT, f"the body did not come within {seconds:g} s", "slow_body",
                      {"connection": "close"}) from None  # fmt: skip
    finally:
        timer.cancel()
    if message["type"] == "http.disconnect":
        raise Refusal(Kind.TIMEOUT, "the client has left", "disconnected")
    return message
