"""Errors that teach: what happened, and what to type next. Each maps to a Record's status."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HonedError(Exception):
    """What the user or the machine did that honed cannot go on from.

    `status` is the Record status it becomes when it happens inside a run; `hint` is what to type
    next. Anything that is not a HonedError is a bug of ours and keeps its traceback.
    """

    status = "crashed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HonedError):
    """A word the user typed that cannot be right."""

    status = "unsupported"


class UnsupportedError(HonedError):
    """A setting that is well formed but that this engine, model or machine cannot do."""

    status = "unsupported"


class ModelError(HonedError):
    """A model that is missing, corrupt or not allowed."""

    status = "unsupported"


class OutOfMemoryError(HonedError):
    """An allocation that failed, or a process the kernel killed for memory."""

    status = "oom"


class StoreError(HonedError):
    """Records could not be written or read."""


def did_you_mean(word: str, known: Iterable[str], count: int = 3) -> str:
    """The known words nearest to `word`, as the end of a message; empty when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=count, cutoff=0.5)
    near += [name for name in names if word and word in name and name not in near]
    return f"did you mean {' or '.join(near[:count])}?" if near else ""
