"""Errors with what happened and what to type next. Each becomes the status of a Record."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HonedError(Exception):
    """An error of the user or the machine. Any other exception is a bug in honed, and keeps its
    traceback.

    `status`: the status of the Record when the error happens inside a run.
    `hint`: what to type next.
    """

    status = "crashed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HonedError):
    """The user typed a word that cannot be right."""

    status = "unsupported"


class UnsupportedError(HonedError):
    """A valid setting that this engine, model or machine does not support."""

    status = "unsupported"


class NotInstalledError(UnsupportedError):
    """What the setting needs is not installed; the hint has the command that installs it."""


class ModelError(HonedError):
    """The model is missing, corrupt or not allowed."""

    status = "unsupported"


class OutOfMemoryError(HonedError):
    """An allocation failed, or the kernel killed a process for its memory."""

    status = "oom"


class StoreError(HonedError):
    """The store could not write or read records."""


def did_you_mean(word: str, known: Iterable[str], count: int = 3) -> str:
    """The known words nearest to `word`, as the end of a message; empty when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=count, cutoff=0.5)
    near += [name for name in names if word and word in name and name not in near]
    return f"did you mean {' or '.join(near[:count])}?" if near else ""


def nearest(word: str, known: Iterable[str], listed: str = "") -> str:
    """The hint for a word that is not known: the nearest ones, and all (`listed`, if given)."""
    known = list(known)
    return f"{did_you_mean(word, known)} known: {listed or ', '.join(known)}".strip()
