"""How a value is spelled: as a person types it, and as the command line reads it back."""

from __future__ import annotations

import re
from collections.abc import Mapping

# How people are told that a key is not set.
UNTOUCHED = "as it comes"
_BARE = re.compile(r"[\w./@+-]+", re.ASCII)


def as_typed(value: object) -> str:
    """The spelling for people: `true`, `null`, `int8`, `0.5`, and `5` for 5.0."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def as_override(value: object) -> str:
    """The spelling that the override grammar of `honed run` reads back as the same value."""
    if isinstance(value, float):
        return str(value)
    if isinstance(value, str) and not _BARE.fullmatch(value):
        # The grammar reads a backslash as an escape only before a quote and at the end.
        doubled = re.sub(r"(\\+)('|$)", r"\1\1\2", value)
        escaped = doubled.replace("'", "\\'")
        return f"'{escaped}'"
    return as_typed(value)


def typed_words(settings: Mapping[str, object]) -> tuple[str, ...]:
    """Each setting as `key=value`, for people."""
    return tuple(f"{key}={as_typed(value)}" for key, value in settings.items())
