"""The page at `/`: what is served, its state, and a box to try a text. No build, no network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from honed.serve.api.base import Request, Response, Route, encode, error_body
from honed.serve.api.health import health
from honed.serve.groups import range_words
from honed.serve.link import Link
from honed.serve.service import Service

_FILE = Path(__file__).with_name("page.html")
_CONTENT = "text/html; charset=utf-8"
# Nothing is loaded from elsewhere, and nobody may put the page into a frame.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)

error = error_body


async def root(service: Service, request: Request) -> Response:
    """The page for browsers; for other clients the health, as text-embeddings-inference answers
    here."""
    if "text/html" not in request.headers.get("accept", ""):
        return await health(service, request)
    return Response(_page(), content_type=_CONTENT, headers={"content-security-policy": _POLICY})


async def state(service: Service, _: Request) -> Response:
    """What the page shows, as JSON."""
    answer: dict[str, Any] = {"ready": service.ready, "draining": service.draining}
    if service.served is not None and service.dispatcher is not None:
        served, dispatcher = service.served, service.dispatcher
        links = {link.seat.index: link for link in dispatcher.links}
        answer |= {
            "name": served.name, "model": served.case.model, "kind": served.kind,
            "backend": served.case.backend, "precision": served.case.precision,
            "longest": served.longest, "status": served.record.status,
            "notices": list(served.notices), "queued": dispatcher.queued,
            "wait_s": dispatcher.wait_s(), "batch_tokens": dispatcher.rules.batch_tokens,
            "workers": [
                {"index": seat.index, "cpus": list(seat.cpus), "ready": bool(link and link.ready),
                 "texts": link.answered_rows if link else 0, "takes": _takes(link)}
                for seat in dispatcher.seats
                for link in [links.get(seat.index)]
            ],
            "classes": service.recent.summary(),
        }  # fmt: skip
    return Response(encode(answer))


def _takes(link: Link | None) -> str:
    """Which texts a worker takes, where it does not take all."""
    return "" if link is None else range_words(link.group.over, link.up_to or link.group.up_to)


@cache
def _page() -> bytes:
    return _FILE.read_bytes()


ROUTES = (Route("GET", "/", root, open=True), Route("GET", "/state", state))
