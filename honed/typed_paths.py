"""Paths as people type them: `model=./my model (1)` is one folder, whatever characters it has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from honed.errors import UsageError
from honed.values import as_override, in_bash

PATH_KEYS = ("model", "inputs", "eval", "python")


def existing(word: str) -> tuple[str, str] | None:
    """Key and value of a word whose whole value is the path of a file or folder.

    Raises UsageError where a comma may also separate paths, each of which exists.
    """
    key, _, value = word.partition("=")
    if key not in PATH_KEYS or not _is_path(key, value):
        return None
    if "," in value and all(_is_path(key, part) for part in value.split(",")):
        raise UsageError(
            f"{word} is one path, and several paths separated by commas",
            f"for one path: {in_shell(key, value)}; for several: '{key}=choice({value})'",
        )
    return key, value


def in_shell(key: str, value: str) -> str:
    """`key=value` as one types it in bash, so that the value is read as it is."""
    return in_bash(f"{key}={as_override(value)}")


def comma_notice(key: str, values: Sequence[object]) -> str:
    """What to type if a comma in a path made a sweep that was not meant; empty if it was meant."""
    texts = [str(value) for value in values]
    paths = [text for text in texts if "/" in text]
    if key not in PATH_KEYS or len(texts) < 2 or all(_is_path(key, path) for path in paths):
        return ""
    typed = in_shell(key, ",".join(texts))
    return f"{key} has {len(texts)} values, because a comma separates them; for one path: {typed}"


def _is_path(key: str, value: str) -> bool:
    try:
        path = Path(os.path.expanduser(value))  # noqa: PTH111 - Path would read ./~x as ~x
        if key == "model" and "/" not in value:  # a bare name may be a named shape or a hub id
            path /= "config.json"
        return bool(value) and ("/" in value or key != "python") and path.exists()
    except (OSError, RuntimeError, ValueError):
        return False
