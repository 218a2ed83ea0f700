"""The cache of things made once: random weights, exported graphs, reference outputs.

Content decides the name, a lock lets one process build, a rename makes the result appear whole,
and the least recently used go when the cache grows over its bound.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import HonedError, UsageError

_META = "honed.json"
_DEFAULT_MAX_GIB = 20.0
# What was used this recently may be in use: a case takes weights and the export made from them.
_IN_USE_S = 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One cached folder."""

    kind: str
    key: str
    path: Path
    size_bytes: int
    used: float  # seconds since the epoch
    about: Mapping[str, Any]


def root() -> Path:
    """`$HONED_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("HONED_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "honed"


def max_bytes() -> int:
    """`$HONED_CACHE_MAX_GIB`, 20 GiB by default."""
    asked = os.environ.get("HONED_CACHE_MAX_GIB", str(_DEFAULT_MAX_GIB))
    try:
        return int(float(asked) * 2**30)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"HONED_CACHE_MAX_GIB={asked} is not a number", "HONED_CACHE_MAX_GIB=20"
        ) from error


def content_key(about: Mapping[str, Any]) -> str:
    """A name for `about` (JSON-able): the same facts give the same name."""
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:20]


def find(kind: str, key: str) -> Path | None:
    """The finished artifact, marked as used now; None if it has not been made."""
    path = root() / kind / key
    if not (path / _META).is_file():
        return None
    with contextlib.suppress(OSError):
        os.utime(path / _META)
    return path


def make(kind: str, about: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """The artifact named by `about`, built by `build(empty folder)` unless it is there already.

    Two processes asking for the same one build it once. A build that raises or is killed leaves
    nothing behind that a later call could take for whole.
    """
    key = content_key(about)
    if found := find(kind, key):
        return found
    limit_bytes = max_bytes()
    folder = root() / kind
    with _explained(folder):
        _make(folder, key, about, build)
    prune(limit_bytes, keep=(folder / key,), unused_for_s=_IN_USE_S)
    return folder / key


def _make(folder: Path, key: str, about: Mapping[str, Any], build: Callable[[Path], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{key}.lock"):
        if find(folder.name, key):  # made while we waited
            return
        _sweep_abandoned(folder, key)
        staging = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=folder))
        try:
            build(staging)
            (staging / _META).write_text(json.dumps(dict(about), default=str, indent=1))
            os.replace(staging, folder / key)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise


def entries() -> list[Artifact]:
    """Every finished artifact, the most recently used first."""
    found = [_read(meta.parent) for meta in root().glob(f"*/[!.]*/{_META}")]
    return sorted(found, key=lambda a: a.used, reverse=True)


def prune(
    limit_bytes: int, keep: tuple[Path, ...] = (), unused_for_s: float = 0.0
) -> list[Artifact]:
    """Remove the least recently used until the rest fit in `limit_bytes`; returns the removed.

    What is in `keep`, or was used within `unused_for_s`, stays even if the rest does not fit.
    """
    _sweep_every_abandoned()
    kept_bytes, removed = 0, []
    spare = time.time() - unused_for_s if unused_for_s else float("inf")
    for artifact in entries():
        kept_bytes += artifact.size_bytes
        if kept_bytes > limit_bytes and artifact.path not in keep and artifact.used < spare:
            # The description goes first: without it the folder no longer counts as finished.
            (artifact.path / _META).unlink(missing_ok=True)
            shutil.rmtree(artifact.path, ignore_errors=True)
            kept_bytes -= artifact.size_bytes
            removed.append(artifact)
    return removed


def _read(path: Path) -> Artifact:
    meta = path / _META
    try:
        about = json.loads(meta.read_text())
        used = meta.stat().st_mtime
    except (OSError, ValueError):
        about, used = {}, time.time()
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    return Artifact(path.parent.name, path.name, path, size, used, about)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """A cache that is full or not ours to write is the user's to solve."""
    try:
        yield
    except OSError as error:
        ours = str(error.filename or "").startswith(str(root()))
        if error.errno not in _FULL and not ours:
            raise  # the build's own trouble with a file that is not in the cache
        raise HonedError(
            f"cannot write to the cache {folder}: {error.strerror}",
            "free some space (honed cache prune), or set HONED_CACHE to another folder",
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that dies with its process."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _sweep_every_abandoned() -> None:
    """What killed builds left, of any key: nobody holds their lock."""
    for staging in root().glob("*/.*.*"):
        lock = staging.parent / f".{staging.name.split('.')[1]}.lock"
        if not staging.is_dir() or not lock.is_file():
            continue
        with contextlib.suppress(OSError), open(lock) as file:  # BlockingIOError: being built
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(staging, ignore_errors=True)


def _sweep_abandoned(folder: Path, key: str) -> None:
    """What a killed build of the same key left; we hold its lock, so nobody is writing it."""
    for path in folder.glob(f".{key}.*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
    if (folder / key).exists():
        shutil.rmtree(folder / key, ignore_errors=True)
