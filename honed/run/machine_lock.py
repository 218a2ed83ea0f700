"""One measurement at a time: two on the same cores would measure each other."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from honed import database

_ROOM = 0x686F6E65  # "hone": keeps our advisory locks apart from other programs'
_WAIT_S = 0.5


@contextmanager
def alone(url: sa.URL, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Nobody else on this machine measures inside the block.

    A file lock holds among processes that share a temporary folder. Containers on one machine do
    not; where they share a PostgreSQL database, its advisory lock on the machine's boot holds.
    Both end with their process.
    """
    with _both("measuring", machine(), url, on_wait):
        yield


@contextmanager
def making_tables(url: sa.URL) -> Iterator[None]:
    """Two processes do not make the same tables; nobody waits for a measurement."""
    with _both("tables", "tables", url, lambda: None):
        yield


@contextmanager
def _both(what: str, name: str, url: sa.URL, on_wait: Callable[[], None]) -> Iterator[None]:
    with _file_lock(what, on_wait):
        if url.get_backend_name() != "postgresql":
            yield
            return
        with _advisory_lock(name, url, on_wait):
            yield


@contextmanager
def _file_lock(what: str, on_wait: Callable[[], None]) -> Iterator[None]:
    path = Path(tempfile.gettempdir()) / f"honed-{what}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(PermissionError):  # another user's file: it may be locked all the same
            path.chmod(0o666)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(_WAIT_S)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _advisory_lock(name: str, url: sa.URL, on_wait: Callable[[], None]) -> Iterator[None]:
    engine = database.connect(url)
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], signed=True)
    try:
        with engine.connect() as connection:
            ask = sa.select(sa.func.pg_try_advisory_lock(_ROOM, key))
            while not connection.execute(ask).scalar():
                connection.rollback()  # an open transaction would hold back the server's clean-up
                on_wait()
                time.sleep(_WAIT_S)
            connection.rollback()
            yield
            # Closing the session gives the lock back, too; a fault then is not the trial's.
            with suppress(SQLAlchemyError):
                connection.execute(sa.select(sa.func.pg_advisory_unlock(_ROOM, key)))
    except SQLAlchemyError as error:
        raise database.explain(error, url) from error
    finally:
        engine.dispose()


def machine() -> str:
    """The same in every container of one running machine, another on every other."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.uname().nodename
