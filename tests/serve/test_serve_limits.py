"""What is refused before anything is computed, and what the log says of a request."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process import InProcess

from honed.errors import UsageError
from honed.serve import app
from honed.serve.app import App
from honed.serve.front import _listening
from honed.serve.settings import ServeSettings

Make = Callable[..., InProcess]


@pytest.fixture
def make(model: Path) -> Iterator[Make]:
    """A function that makes an application with these settings."""
    made: list[InProcess] = []

    def with_settings(**settings: Any) -> InProcess:
        made.append(InProcess(model, **settings))
        return made[-1]

    yield with_settings
    for each in made:
        each.close()


def test_limits_are_named_in_the_refusal(make: Make) -> None:
    application = make(max_client_batch=3, max_body_bytes=1000, max_length=8)
    many = application.ask("/embed", {"inputs": ["a"] * 20})
    assert (many.status, "max_client_batch" in many.json["error"]) == (422, True)
    large = application.ask("/embed", {"inputs": "a" * 2000})
    assert (large.status, "max_body_bytes" in large.json["error"]) == (413, True)
    long = application.ask("/embed", {"inputs": "a " * 20, "truncate": False})
    assert (long.status, "less than 8 tokens" in long.json["error"]) == (422, True)


def test_a_request_that_could_never_be_in_time_is_not_told_to_come_back(make: Make) -> None:
    application = make(max_wait_s=0.0005)
    answer = application.ask("/embed", {"inputs": ["the cat"] * 500})
    assert answer.status == 413
    assert "max_wait_s=0.0005" in answer.json["error"]
    assert "retry-after" not in answer.headers
    assert application.ask("/embed", {"inputs": "the cat"}).status == 200


def test_keys_are_asked_for_except_on_health(make: Make, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first\nsecond\nschlüssel\n")
    application = make(api_keys=str(keys), cors="https://example.org")
    for header in ("Bearer first", "bearer second", "first", "Bearer schlüssel"):
        answer = application.ask("/embed", {"inputs": "a"}, {"Authorization": header})
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "https://example.org"
    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Bearer "}):
        assert application.ask("/embed", {"inputs": "a"}, headers).status == 401
        assert application.ask("/info", headers=headers).status == 401
    for path in ("/health", "/metrics", "/ping", "/", "/v2/health/ready"):
        assert application.ask(path).status == 200


def test_a_log_line_says_where_the_time_went(make: Make) -> None:
    application, log = make(), io.StringIO()
    application.app = App(application.service, log)
    application.ask("/embed", {"inputs": ["the cat", "a"]})
    application.ask("/embed", {"inputs": []})
    first, second = map(json.loads, log.getvalue().splitlines())
    assert (first["path"], first["status"], first["texts"], first["tokens"]) == (
        "/embed", 200, 2, 7)  # fmt: skip
    assert first["total_s"] >= first["infer_s"] > 0
    assert second["status"] == 400


def test_lines_of_a_log_are_in_its_file_soon(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is written in blocks, and a quiet server would keep its last lines for hours."""
    monkeypatch.setattr(app, "_FLUSH_S", 0.01)
    application, path = make(), tmp_path / "log"
    with path.open("a", buffering=1 << 16) as log:
        application.app = App(application.service, log)
        for _ in range(3):
            application.ask("/embed", {"inputs": "the cat"})
        application.loop.run_until_complete(asyncio.sleep(0.1))
        assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("host", "said"), [("127.0.0.1", "another program uses the port"), ("192.0.2.1", "host=")]
)
def test_an_address_that_cannot_be_listened_on_says_what_to_type(host: str, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = ServeSettings(host=host, port=other.getsockname()[1])
        with pytest.raises(UsageError, match="cannot listen on") as caught, _listening(settings):
            raise AssertionError("nothing may listen there")
    assert said in caught.value.hint
