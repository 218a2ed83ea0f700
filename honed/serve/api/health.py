"""Health and metrics."""

from __future__ import annotations

from honed.serve.api.base import Request, Response, Route, error_body
from honed.serve.refusals import Kind, Refusal
from honed.serve.service import Service

error = error_body


async def health(service: Service, _: Request) -> Response:
    """200 with an empty body when a worker can answer; else 503."""
    if not service.ready:
        raise Refusal(Kind.UNHEALTHY, "unhealthy", "not_ready")
    return Response()


async def metrics(service: Service, _: Request) -> Response:
    return Response(
        service.metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8"
    )


ROUTES = (
    Route("GET", "/health", health, open=True),
    Route("GET", "/ping", health, open=True),
    Route("GET", "/metrics", metrics, open=True),
)
