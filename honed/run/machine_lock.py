"""One measurement at a time: two on the same cores would slow each other down."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from honed import database, files

_ROOM = 0x686F6E65  # "hone": keeps our advisory locks apart from other programs'
_WAIT_S = 0.5


@contextmanager
def alone(url: sa.URL, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """No other process on this machine measures inside the block.

    A file lock holds among processes that share a temporary folder. Containers on one machine do
    not; where they share a PostgreSQL database, its advisory lock on the machine's boot holds.
    Both end with their process.
    """
    with _both("measuring", machine(), url, on_wait):
        yield


@contextmanager
def making_tables(url: sa.URL) -> Iterator[None]:
    """Two processes do not make the same tables; no measurement is waited for."""
    with _both("tables", "tables", url, lambda: None):
        yield


@contextmanager
def _both(what: str, name: str, url: sa.URL, on_wait: Callable[[], None]) -> Iterator[None]:
    path = Path(tempfile.gettempdir()) / f"honed-{what}.lock"
    with files.locked(path, on_wait=on_wait, for_everyone=True):
        if url.get_backend_name() != "postgresql":
            yield
            return
        with _advisory_lock(name, url, on_wait):
            yield


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
