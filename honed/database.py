"""Open SQLite and PostgreSQL databases, and explain their faults to users."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from honed.errors import StoreError

_BUSY_S = 30  # an append holds the lock for milliseconds; a slow disk may take seconds
_CONNECT_S = 5
_ELSEWHERE = "set HONED_STORE to a file in a folder that you may write"
_KINDS = "HONED_STORE is a file, sqlite:///FILE or postgresql://USER@HOST/NAME"

# (words of the database's message, their meaning, what to do); the first that fits counts.
_FAULTS = (
    (("database or disk is full", "no space left", "disk i/o error", "file too large"),
     "the disk is full or failing", "make room, or set HONED_STORE to another disk"),
    (("readonly database", "unable to open database", "read-only"),
     "it cannot be opened for writing", _ELSEWHERE),
    (("database is locked", "database table is locked"),
     f"another process has kept it locked for {_BUSY_S} s",
     "end that process, or set HONED_STORE to another file"),
    (("not a database", "malformed", "file is encrypted"),
     "the file is not a database, or damaged",
     "move it away to begin a new one; 'sqlite3 FILE .recover' may save its records"),
    (("permission denied",),
     "the user may not do that there", "GRANT the user what is missing, or use another database"),
    (('database "', 'role "'),
     "there is no such database or user", "createdb NAME, or correct HONED_STORE"),
    (("no such column", "has no column", 'column "', "no such table", "of relation"),
     "its tables are not honed's", "set HONED_STORE to a database of honed's own"),
    (("password authentication", "no password supplied", "authentication failed"),
     "the server refused the user or password", "postgresql://USER:PASSWORD@HOST/NAME"),
)  # fmt: skip


def parse(text: str) -> sa.URL:
    """A database URL, or the path of a SQLite file."""
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"{text.partition('://')[0]}://… is no database URL", _KINDS) from error
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    return url


def name(url: sa.URL) -> str:
    """The database's name in messages, without the password."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    return url.render_as_string(hide_password=True).replace("+psycopg", "")


def is_missing(url: sa.URL) -> bool:
    """Whether the URL names a SQLite file that does not exist. A server must be asked."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return False
    return not Path(url.database).exists()


def connect(url: sa.URL) -> sa.Engine:
    """An engine for the URL; makes the folder of a SQLite file."""
    if url.get_backend_name() == "sqlite":
        if url.database and url.database != ":memory:":
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, connect_args={"timeout": _BUSY_S})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine
    if url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query:
        return sa.create_engine(url, connect_args={"connect_timeout": _CONNECT_S})
    return sa.create_engine(url)


def explain(error: Exception, url: sa.URL) -> StoreError:
    """The error for users, with the meaning of the fault and what to do."""
    where = name(url)
    if isinstance(error, NoSuchModuleError):
        return StoreError(f"honed cannot store records in {where}", _KINDS)
    if isinstance(error, ImportError):
        return StoreError(
            f"the driver for {url.get_backend_name()} is not installed",
            "pip install 'honed[postgresql]'",
        )
    meaning, hint = _meaning(error)
    return StoreError(f"{where}: {meaning}", hint)


def _meaning(error: Exception) -> tuple[str, str]:
    original = error.orig if isinstance(error, DBAPIError) else error
    text = " ".join(str(original).split())
    if isinstance(error, PermissionError):
        return text, _ELSEWHERE
    for words, meaning, hint in _FAULTS:
        if any(word in text.lower() for word in words):
            return f"{meaning} ({text})", hint
    if isinstance(error, OSError):
        return text, _ELSEWHERE
    if isinstance(error, OperationalError):
        return f"it cannot be reached ({text})", "start the server, or correct HONED_STORE"
    return text, _KINDS


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Use the write-ahead log: readers and a writer do not wait for each other.

    With `synchronous=FULL` a stored record survives a power cut, which costs one flush to disk for
    each record, every few seconds at most. NORMAL would only keep the file intact.
    """
    cursor = connection.cursor()
    try:
        _switch_to_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
    finally:
        cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """Retry, because the switch itself does not wait while another process makes the file."""
    import sqlite3

    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
