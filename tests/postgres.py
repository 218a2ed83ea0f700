"""A real PostgreSQL server for tests: on a free loopback port, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PATIENCE_S = 60


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The server's URL (database "postgres"); it ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="honed-postgres-", dir="/tmp"))
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # the server refuses to run as root
        user = _other_user()
        os.chown(folder, user.pw_uid, user.pw_gid)
        prefix = (
            "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"
        )  # fmt: skip
    port = _free_port()
    data = folder / "data"
    try:
        _initialise(prefix, data)
        process = subprocess.Popen(
            [*prefix, _binary("postgres"), "-D", data, "-p", str(port), "-k", folder, "-F",
             "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=30"],
            cwd="/", stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb"),
        )  # fmt: skip
        try:
            _wait(port, process, folder / "log")
            yield f"postgresql://honed@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown: sessions are cut
            process.wait(_PATIENCE_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _initialise(prefix: tuple[str, ...], data: Path) -> None:
    subprocess.run(
        [*prefix, _binary("initdb"), "-D", data, "-U", "honed", "-A", "trust", "-E", "UTF8",
         "--no-sync", "--locale=C"],
        cwd="/", check=True, capture_output=True, timeout=_PATIENCE_S,
    )  # fmt: skip


def _binary(name: str) -> str:
    """On PATH, else where Debian puts it."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    found = shutil.which(name, path=path)
    if found is None:
        raise FileNotFoundError(f"{name}: install the system package postgresql")
    return found


def _other_user() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="honed", dbname="postgres").close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return
