"""What stands below a request: slow, idle, early-ending and unusual connections."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest
from served import Server

from honed.serve.front import _server
from honed.serve.settings import ServeSettings

BODY = b'{"inputs": "the cat"}'
IDLE = 3000


def connect(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 20)


def head(*more: str, version: str = "1.1", length: int | None = len(BODY)) -> bytes:
    lines = [f"POST /embed HTTP/{version}", "host: x", "content-type: application/json", *more]
    if length is not None:
        lines.append(f"content-length: {length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def answers(client: socket.socket, count: int) -> bytes:
    """What comes until there are so many answers of 200, or the server closes."""
    found = b""
    while found.count(b"HTTP/1.1 200") < count or not found.endswith(b"]]"):
        part = client.recv(1 << 16)
        if not part:
            break
        found += part
    return found


def test_thousands_of_idle_connections_cost_others_nothing(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(IDLE)]
        for half_way in idle[::3]:  # these have begun a request, and do not go on
            half_way.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-")
        assert all(server.ask("/embed", {"inputs": "the cat"}).status == 200 for _ in range(20))
        assert server.ask("/health").status == 200
        last = idle[1]
        last.sendall(head() + BODY)
        assert answers(last, 1).startswith(b"HTTP/1.1 200")
    assert server.ask("/embed", {"inputs": "the cat"}).status == 200


def test_idle_connections_are_kept_for_longer_than_proxies_keep_theirs() -> None:
    """A proxy whose pool keeps a connection for 60 s would send into one that has just closed."""
    kept_s = _server(lambda: None, ServeSettings()).config.timeout_keep_alive
    assert kept_s > 60


def test_a_slow_body_does_not_hold_up_others(server: Server) -> None:
    with connect(server) as slow:
        slow.sendall(head())
        for byte in BODY[:-1]:
            slow.sendall(bytes([byte]))
            assert server.ask("/health").status == 200
        slow.sendall(BODY[-1:])
        assert answers(slow, 1).startswith(b"HTTP/1.1 200")


def test_a_slow_reader_gets_a_large_answer_whole(server: Server) -> None:
    texts = b",".join([b'"the cat"'] * 300)
    body = b'{"inputs": [' + texts + b"]}"
    with connect(server) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(head(length=len(body)) + body)
        time.sleep(0.1)
        assert server.ask("/embed", {"inputs": "the cat"}).status == 200
        assert answers(slow, 1).count(b"[") == 301


def test_a_client_that_ends_its_side_has_left(server: Server) -> None:
    """Its end looks like that of a client that is gone, whose texts must not be computed."""
    with connect(server) as half_closed:
        half_closed.sendall(head())
        half_closed.shutdown(socket.SHUT_WR)
        while half_closed.recv(1 << 16):  # an answer that was faster than the end
            pass
    assert server.ask("/embed", {"inputs": "the cat"}).status == 200


def test_requests_in_a_row_are_answered_in_their_order(server: Server) -> None:
    short = b'{"inputs": ["a", "b"]}'
    with connect(server) as client:
        client.sendall(head() + BODY + head(length=len(short)) + short)
        found = answers(client, 2)
    first, second = found.split(b"HTTP/1.1 200")[1:]
    assert (first.count(b"["), second.count(b"[")) == (2, 3)


def test_a_client_that_waits_for_the_word_to_go_on_gets_it(server: Server) -> None:
    with connect(server) as client:
        client.sendall(head("expect: 100-continue"))
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(BODY)
        assert answers(client, 1).startswith(b"HTTP/1.1 200")


def test_a_chunked_body_and_http_1_0(server: Server) -> None:
    with connect(server) as client:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (BODY[:5], BODY[5:], b""))
        client.sendall(head("transfer-encoding: chunked", length=None) + chunks)
        assert answers(client, 1).startswith(b"HTTP/1.1 200")
    with connect(server) as client:
        client.sendall(head(version="1.0") + BODY)
        found = b""
        while part := client.recv(1 << 16):  # until the server closes
            found += part
        assert b" 200 " in found
        assert found.endswith(b"]]")


@pytest.mark.parametrize("nonsense", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"\0" * 5000])
def test_what_is_not_http_is_refused(server: Server, nonsense: bytes) -> None:
    with connect(server) as client:
        client.sendall(nonsense)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 400")
    assert server.ask("/health").status == 200
