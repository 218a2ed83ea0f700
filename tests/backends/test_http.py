"""A server as an engine: honed measures honed's own server, and checks its answers."""

from __future__ import annotations

import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from honed.backends.base import LoadRequest, load_backend
from honed.backends.http import Address, Connection, HttpStep, ServerError
from honed.case import Case
from honed.errors import UnsupportedError
from honed.run.parent import measure

sys.path.append(str(Path(__file__).parents[1] / "serve"))
from served import Server


@pytest.fixture
def small_server() -> Iterator[int]:
    """Answers the body that it was sent, and closes every other connection."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        count = 0

        def do_POST(self) -> None:
            Handler.count += 1
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = Handler.count % 2 == 0

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_connection_is_kept_and_opened_again(small_server: int) -> None:
    connection = Connection("127.0.0.1", small_server)
    for size in (1, 100_000, 3, 70_000, 5):
        body = b"x" * size
        head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n".encode()
        assert connection.ask(head + body) == (200, body)
    connection.close()


def test_no_server_is_an_error_that_says_so(small_server: int) -> None:
    with pytest.raises(ServerError, match="no answer from"):
        Connection("127.0.0.1", 1).ask(b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    "url",
    [None, "https://host", "host:80", "http://", "http://host:99999", "http://[::1",
     "http://host/prefix"],
)  # fmt: skip
def test_a_wrong_address_is_refused_with_a_right_one(url: str | None) -> None:
    case = Case(model="m", backend="http", knobs={} if url is None else {"http.url": url})
    with pytest.raises(UnsupportedError) as caught:
        load_backend("http").check(case)
    assert "http.url" in caught.value.message
    assert caught.value.hint == "http.url=http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://host", Address("host", 80, "host")),
        ("http://127.0.0.1:8080/", Address("127.0.0.1", 8080, "127.0.0.1:8080")),
        ("http://[::1]:8080", Address("::1", 8080, "[::1]:8080")),
    ],
)
def test_an_address_is_read_from_the_url(url: str, address: Address) -> None:
    assert Address.of(Case(model="m", backend="http", knobs={"http.url": url})) == address


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "answers /info with something"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "answers /info with something"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
    ],
)
def test_another_kind_of_server_is_named_as_such(answer: bytes, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        case = Case(model="m", backend="http", knobs={"http.url": url})
        checkpoint: Any = SimpleNamespace(task="feature-extraction")
        with pytest.raises(ServerError, match=said):
            HttpStep(LoadRequest(case, checkpoint, None))
        thread.join()


@pytest.mark.engine
def test_a_server_is_measured_and_compared_with_the_reference() -> None:
    """The model has no tokenizer: both sides speak in token ids."""
    server = Server("model=tiny-bert", "backend=torch", "threads=1", "sequence_length=16")
    try:
        case = Case(model="tiny-bert", backend="http", workload="clients", sequence_length=16,
                    batch_size=2, duration_s=0.5, warmup_s=0.2, memory=False,
                    knobs={"http.url": server.url, "clients.count": 3})  # fmt: skip
        record = measure(case)
        assert record.status == "ok", record.error
        assert record.fidelity is not None
        assert record.fidelity.cosine_min > 0.9999
        assert record.metrics is not None
        assert record.metrics.refused == 0
        wrong = measure(case.replace(precision="int8"))
        assert wrong.status == "unproven"
        assert server.ask("/embed", {"inputs": "a text"}).status == 422
    finally:
        server.stop()
    gone = measure(case)
    assert gone.status == "crashed"
    assert gone.error is not None
    assert "no answer from" in gone.error.message
