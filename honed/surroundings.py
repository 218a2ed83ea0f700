"""What honed needs of its surroundings: a home folder, a temporary folder, standard streams.

Containers run under user ids that the system does not know, on read-only file systems, and with
streams that are closed, full, or unable to print every character.
"""

from __future__ import annotations

import codecs
import errno
import os
import pwd
import sys
import tempfile
import warnings
from collections.abc import MutableMapping
from pathlib import Path
from typing import TextIO

from honed.errors import HonedError

# Faults of a place, not of honed: no permission, a read-only file system, no room.
_OF_PLACES = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
# A file where a folder is needed, or the other way round: the path is one that the user named.
_OF_NAMES = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
_SPELLINGS = str.maketrans("±→·…µ─│⁰¹²³⁴⁵⁶⁷⁸⁹", "~>-.u-|0123456789")


def settle() -> str:
    """Make the streams printable and find a home; HonedError where that cannot be.

    Returns what `find_home` has to tell the user.
    """
    _open_closed_streams()
    if not sys.warnoptions:  # warnings of libraries are for those who write code with them
        warnings.simplefilter("ignore")
    codecs.register_error("honed", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="honed")
    _check_words(sys.argv)
    return find_home(os.environ)


def find_home(environment: MutableMapping[str, str]) -> str:
    """Set HOME and USER where the system knows neither; returns a sentence that says so.

    Libraries ask for both (torch names a folder for the user), and fail for an unknown user id.
    """
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError:
        raise HonedError(
            "no temporary folder can be written", "set TMPDIR to a folder that you may write"
        ) from None
    user = os.getuid()
    try:
        pwd.getpwuid(user)
    except KeyError:
        if not any(environment.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
            environment["USER"] = f"user{user}"
        if not environment.get("HOME"):
            home = _private_folder(Path(temporary) / f"honed-{user}")
            environment["HOME"] = str(home)
            return f"user {user} has no home folder: honed keeps its files in {home} (or set HOME)"
    return ""


def home() -> Path:
    """The user's home folder; HonedError where the system knows none."""
    try:
        return Path.home()
    except RuntimeError:
        raise HonedError("this user has no home folder", "set HOME") from None


def explain(error: OSError) -> HonedError | None:
    """The error for users where a place cannot be written or read; None for any other fault."""
    if error.errno in _OF_NAMES and error.filename is not None:
        return HonedError(f"cannot use {error.filename}: {error.strerror}", "name another path")
    if error.errno not in _OF_PLACES:
        return None
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HonedError(
            f"cannot write the output: {error.strerror}", "make room, or write it somewhere else"
        )
    hint = "set HOME, or TMPDIR, HONED_CACHE, HONED_STORE and HONED_HOME, to places you may write"
    return HonedError(f"cannot use {error.filename}: {error.strerror}", hint)


def _private_folder(path: Path) -> Path:
    """A folder that only this user can write; other users can make folders beside it."""
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or path.is_symlink() or status.st_mode & 0o022:
        raise HonedError(
            f"this user has no home folder, and {path} belongs to somebody else",
            "set HOME to a folder that you may write",
        )
    return path


def _open_closed_streams() -> None:
    """Standard input and error may be missing; output may not, because results go there.

    A descriptor that is closed would be given to the next file or pipe that is opened.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor: this one
    if sys.stderr is None:
        sys.stderr = _null()
    if sys.stdout is None:
        sys.stdout = _null()
        raise HonedError("standard output is closed", "redirect it to a file or to /dev/null")


def _null() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Characters that the terminal lacks, spelled in characters that every terminal has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_SPELLINGS)
    return "".join(c if c.isascii() else "?" for c in text), error.end


def _check_words(words: list[str]) -> None:
    """Names in another encoding cannot be stored or printed."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise HonedError(
                f"{shown} is not valid UTF-8",
                "rename the file or folder, or give a link to it: ln -s FILE NAME",
            ) from None
