"""The cache of artifacts: random weights, exported graphs, reference outputs.

The content decides an artifact's name, a lock lets only one process build it, a rename makes it
appear whole, and when the cache outgrows its bound the least recently used artifacts go.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import HonedError, UsageError
from honed.files import is_there, locked, whole
from honed.surroundings import home

_META = "honed.json"
_DEFAULT_MAX_GIB = 20.0
# An artifact used this recently may still be in use: a Case needs the weights and the export that
# was made from them.
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
    base = os.environ.get("XDG_CACHE_HOME") or home() / ".cache"
    return Path(base) / "honed"


def max_bytes() -> int:
    """`$HONED_CACHE_MAX_GIB`, 20 GiB by default."""
    text = os.environ.get("HONED_CACHE_MAX_GIB", str(_DEFAULT_MAX_GIB))
    try:
        return int(float(text) * 2**30)
    except (ValueError, OverflowError) as error:
        message = f"HONED_CACHE_MAX_GIB={text} is not a number"
        raise UsageError(message, "HONED_CACHE_MAX_GIB=20") from error


def content_key(about: Mapping[str, Any]) -> str:
    """A name for `about` (JSON-able): the same facts give the same name."""
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:20]


def find(kind: str, key: str) -> Path | None:
    """The finished artifact, marked as used now; None if it has not been made."""
    path = root() / kind / key
    if not is_there(path / _META):
        return None
    with contextlib.suppress(OSError):
        os.utime(path / _META)
    return path


def make(kind: str, about: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """The artifact of `about`; `build(empty folder)` makes it unless the cache has it.

    If two processes ask for the same artifact, one builds it. After a build that raises or is
    killed, no later call can take an incomplete artifact for a finished one.
    """
    key = content_key(about)
    if path := find(kind, key):
        return path
    limit_bytes = max_bytes()
    folder = root() / kind
    with explained(folder):
        _make(folder, key, about, build)
    prune(limit_bytes, keep=(folder / key,), unused_for_s=_IN_USE_S)
    return folder / key


def _make(folder: Path, key: str, about: Mapping[str, Any], build: Callable[[Path], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f".{key}.lock"):
        if find(folder.name, key):  # another process made it while this one waited
            return
        _remove_abandoned(folder, key)
        with whole(folder / key) as staging:
            staging.mkdir(0o700)
            build(staging)
            (staging / _META).write_text(json.dumps(dict(about), default=str, indent=1))


def entries() -> list[Artifact]:
    """Every finished artifact, the most recently used first."""
    artifacts = [_read(meta.parent) for meta in root().glob(f"*/[!.]*/{_META}")]
    return sorted(artifacts, key=lambda a: a.used, reverse=True)


def prune(
    limit_bytes: int, keep: tuple[Path, ...] = (), unused_for_s: float = 0.0
) -> list[Artifact]:
    """Remove the least recently used artifacts until the rest fit in `limit_bytes`; returns those
    that were removed.

    Artifacts in `keep` or used within the last `unused_for_s` stay, even if they do not fit.
    """
    _remove_every_abandoned()
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
def explained(folder: Path) -> Iterator[None]:
    """Turns a full or unwritable cache into an error that the user can act on."""
    try:
        yield
    except OSError as error:
        place = str(error.filename or "")  # or a folder that the cache would lie in
        in_cache = bool(place) and (place.startswith(str(root())) or Path(place) in root().parents)
        if error.errno not in _FULL and not in_cache:
            raise  # the build failed on a file outside the cache
        is_full = error.errno in _FULL
        hint = "free some space (honed cache prune), or " if is_full else ""
        raise HonedError(
            f"cannot write to the cache {folder}: {error.strerror}",
            f"{hint}set HONED_CACHE to another folder",
        ) from error


def _remove_every_abandoned() -> None:
    """Remove what killed builds left, of any key: no process holds their lock."""
    for staging in root().glob("*/.*.*"):
        lock = staging.parent / f".{staging.name.split('.')[1]}.lock"
        if not staging.is_dir() or not lock.is_file():
            continue
        with contextlib.suppress(OSError), locked(lock, wait=False):
            shutil.rmtree(staging, ignore_errors=True)


def _remove_abandoned(folder: Path, key: str) -> None:
    """Remove what a killed build of this key left; the caller holds the key's lock."""
    for path in [*folder.glob(f".{key}.*"), folder / key]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
