"""Locks between processes, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from honed.errors import StoreError

_POLL_S = 0.5


def is_there(path: Path) -> bool:
    """Whether the file exists; False, too, where this user may not look."""
    try:
        return path.is_file()
    except PermissionError:
        return False


@contextlib.contextmanager
def locked(
    path: Path,
    *,
    wait: bool = True,
    on_wait: Callable[[], None] | None = None,
    for_everyone: bool = False,
) -> Iterator[int]:
    """Hold an exclusive lock on the file; yields its descriptor.

    The lock ends with this process, and with children that inherit the descriptor.
    wait: false raises BlockingIOError if another process holds the lock.
    on_wait: called every half second while another process holds it.
    for_everyone: other users may lock the file as well.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if for_everyone:
            with contextlib.suppress(PermissionError):  # another user made it and did the same
                os.fchmod(descriptor, 0o666)
        if wait and on_wait is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _poll(descriptor, on_wait if wait else None)
        yield descriptor
    finally:
        os.close(descriptor)


def _poll(descriptor: int, on_wait: Callable[[], None] | None) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is None:
                raise
            on_wait()
            time.sleep(_POLL_S)
        else:
            return


@contextlib.contextmanager
def held(descriptor: int) -> Iterator[None]:
    """Hold an exclusive lock on an open file inside the block."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` for a new file or folder, which is then renamed to `path`.

    A block that raises leaves nothing behind; a killed process leaves `.NAME.*`.
    """
    staging = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        yield staging
        os.replace(staging, path)
    except BaseException:
        if staging.is_dir():
            shutil.rmtree(staging, ignore_errors=True)
        with contextlib.suppress(OSError):
            staging.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write the file; if this fails, for example on a full disk, an older one stays as it is."""
    with whole(path) as staging:
        staging.write_bytes(content.encode() if isinstance(content, str) else content)


def give(path: Path, content: str | bytes, where: str) -> Path:
    """Write a file that the user asked for, with its folders, and return its path.

    StoreError if it cannot be written; `where` says where the user named it, such as "--out FILE".
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # /dev/stdout and the like cannot be replaced
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            write_whole(path.resolve(), content)  # a link stays a link
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}",
            f"name a place that you may write, with room: {where}",
        ) from error
    return path


def copy_files(source: Path, target: Path, *names: str) -> None:
    """Copy files of one folder into another one; a name that the source lacks is left out."""
    for name in names:
        if is_there(source / name):
            shutil.copyfile(source / name, target / name)
