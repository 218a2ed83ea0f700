"""How a value of a setting is spelled: as a person types it, and as the command line reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from honed.knob import Value

_BARE = re.compile(r"[\w./@+-]+")


def as_typed(value: Value | None) -> str:
    """The spelling for people: `true`, `null`, `int8`, `0.5`."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_override(value: Value | None) -> str:
    """The spelling that the override grammar of `honed run` reads back as the same value."""
    if isinstance(value, str) and not _BARE.fullmatch(value):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return as_typed(value)


def typed_words(settings: Mapping[str, Value | None]) -> tuple[str, ...]:
    """Each setting as `key=value`, for people."""
    return tuple(f"{key}={as_typed(value)}" for key, value in settings.items())
