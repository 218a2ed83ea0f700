"""A server as an engine: each call is one HTTP request with token ids, and its answer.

It speaks `/embed` and `/predict` of text-embeddings-inference, which `honed serve` answers. Token
ids are sent, not texts, so that the answers can be compared with the fp32 reference on the same
input. The time of a call is from the first byte sent to the last byte read; JSON is read later.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from honed.backends.base import Batch, LoadRequest, Outputs, Step, Traits, refuse
from honed.case import FEATURES, PRECISIONS, Case
from honed.errors import HonedError, UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, Text, Value
from honed.step import RefusedError

HELP = "a server that speaks HTTP, such as honed serve: http.url=http://127.0.0.1:8080"
EXTRA = "serve"
REFERENCE = "torch"
TRAITS = Traits(hidden=True, remote=True)
URL = Knob("http.url", "the address of the server", Text("http://HOST:PORT"))
KNOBS = (URL,)

_EXAMPLE = "http.url=http://127.0.0.1:8080"
_NOT_HONED = "honed measures servers that speak /info and /embed, such as honed serve"
_TIMEOUT_S = 120.0
_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_REFUSED = 429


class ServerError(HonedError):
    """The server gave an error instead of an answer, or none at all."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. `authority` is what the Host header holds, such as `[::1]:8080`."""

    host: str
    port: int
    authority: str

    @classmethod
    def of(cls, case: Case) -> Address:
        """The address in the Case's http.url. UnsupportedError if honed cannot ask there."""
        url = case.get(URL.name)
        if url is None:
            raise UnsupportedError(f"backend=http needs {URL.name}", _EXAMPLE)
        try:
            parts = urlsplit(str(url))
            host, port = parts.hostname, parts.port or 80
        except ValueError as error:  # a port beyond 65535, brackets that do not close
            raise UnsupportedError(f"{URL.name}={url}: {error}", _EXAMPLE) from None
        if parts.scheme != "http" or not host or parts.path.strip("/"):
            raise UnsupportedError(
                f"{URL.name}={url} is not a plain http address of host and port: honed speaks no "
                "TLS, and asks for /info and /embed without a prefix",
                _EXAMPLE,
            )
        return cls(host, port, parts.netloc.rpartition("@")[2])


def available() -> Availability:
    return AVAILABLE


def versions() -> Mapping[str, str]:
    return {"http": "1.1"}


def check(case: Case) -> None:
    refuse(case, "http", PRECISIONS)
    Address.of(case)
    if case.task not in ("auto", FEATURES):
        raise UnsupportedError(f"http has no task={case.task}", f"task={FEATURES}")


def start() -> None:
    import numpy  # noqa: F401


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    return None


def build(_: LoadRequest, __: Path) -> None:
    """Nothing is exported."""


def load(request: LoadRequest, _: Path | None) -> HttpStep:
    return HttpStep(request)


class Connection:
    """One kept-alive connection. `http.client` parses headers with the mail parser, which takes
    longer than a short answer of the server."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer. A connection that was closed is opened again."""
        again = self._socket is not None
        try:
            return self._ask(request)
        except OSError as error:
            self.close()
            if again and isinstance(error, ConnectionError):
                return self.ask(request)
            raise ServerError(
                f"no answer from {self._address[0]}:{self._address[1]}: {error}",
                "is the server running? honed serve model=NAME port=8080",
            ) from None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, request: bytes) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, _TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = received[:end].lower()
        status = int(head[9:12])
        given = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0].strip()
        if not given.isdigit():  # in chunks, or until the connection ends
            self.close()
            raise ServerError("the answer has no Content-Length", _NOT_HONED)
        length = int(given)
        body = bytearray(received[end + 4 :])
        while len(body) < length:
            body += self._more()
        if b"connection: close" in head:
            self.close()
        return status, bytes(body)

    def _more(self) -> bytes:
        assert self._socket is not None
        part = self._socket.recv(1 << 16)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        return part


class HttpStep(Step):
    """Requests to one server. Several threads may call `run` at once: each has a connection."""

    def __init__(self, request: LoadRequest) -> None:
        self._address = Address.of(request.case)
        self._task = request.checkpoint.task
        self._of_thread = threading.local()  # the connection of each thread
        self._connections: list[Connection] = []
        self._url = str(request.case.get(URL.name))
        self.weights_bytes = 0
        self._info = self._asked_info()

    def prepare(self, batch: Batch) -> bytes:
        rows = [
            ids[: int(mask.sum())].tolist()
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]
        if self._task == FEATURES:
            return self._post("/embed", {"inputs": rows, "normalize": False, "truncate": False})
        raise UnsupportedError(
            "a server's /predict takes texts, and not the token ids that honed sends",
            f"task={FEATURES}",
        )

    def run(self, feed: bytes) -> bytes:
        return self._ask(feed)

    def outputs(self, raw: bytes) -> Outputs:
        import numpy as np

        return {"embedding": np.asarray(json.loads(raw), np.float32)}

    def read_back(self) -> Mapping[str, Value | None]:
        dtype = str(self._info.get("model_dtype"))
        return {
            "threads": None,
            "precision": _DTYPES.get(dtype, dtype),
            "device": "cpu",
            URL.name: self._url,
            "caller": "waits",
        }

    def close(self) -> None:
        """Close the connections of all threads; none may be asking."""
        for connection in self._connections:
            connection.close()

    def _asked_info(self) -> Mapping[str, Any]:
        """What the server says of itself."""
        body = self._ask(self._get("/info"))
        try:
            info = json.loads(body)
        except ValueError:
            info = None
        if not isinstance(info, dict):
            raise ServerError(f"{self._url} answers /info with something else", _NOT_HONED)
        return info

    def _ask(self, request: bytes) -> bytes:
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = Connection(self._address.host, self._address.port)
            self._of_thread.connection = connection
            self._connections.append(connection)
        status, body = connection.ask(request)
        if status == _REFUSED:
            raise RefusedError("the server is overloaded")
        if status != 200:
            raise ServerError(
                f"the server answered {status}: {body[:200].decode(errors='replace')}",
                "see the server's log",
            )
        return body

    def _get(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nhost: {self._address.authority}\r\n\r\n".encode()

    def _post(self, path: str, body: Any) -> bytes:
        text = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._address.authority}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
        )
        return head.encode() + text
