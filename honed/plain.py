"""The one codec between dataclasses and JSON: for the wire between processes and for the store.

`to_plain` gives dicts, lists and scalars that json.dumps accepts; `from_plain` rebuilds the
annotated type from them. A key that the type does not know is ignored, and a missing key takes the
field's default, so that data written by an older or a newer honed still opens.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")
_SCALARS = frozenset({str, int, float, bool, type(None)})


def to_plain(value: Any) -> Any:
    """`value` as dicts, lists and scalars.

    A class that is written in another form than field by field (a Case is one flat mapping)
    defines `__to_plain__` and the classmethod `__from_plain__`.
    """
    if isinstance(value, type):
        raise TypeError(f"{value} is a class, not data")
    if hasattr(value, "__to_plain__"):
        return value.__to_plain__()
    if dataclasses.is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, list | tuple) and _SCALARS.issuperset(map(type, value)):
        return list(value)  # a million samples at once
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    plain = value.value if isinstance(value, Enum) else value
    return str(plain) if isinstance(plain, Path) else plain


def from_plain(kind: type[T], data: Any) -> T:
    """`data` as `kind`. Raises TypeError where a field without a default is missing."""
    return cast(T, _build(kind, data))


def _build(kind: Any, data: Any) -> Any:
    if data is None or kind is Any:
        return data
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _build_union(arguments, data)
    if origin is not None:
        return _build_generic(origin, arguments, data)
    return _build_class(kind, data)


def _build_generic(origin: Any, arguments: tuple[Any, ...], data: Any) -> Any:
    """Tuples, lists and mappings of anything; a Literal is what JSON gave."""
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return tuple(_build(a, item) for a, item in zip(arguments, data, strict=True))
    if origin is tuple or (isinstance(origin, type) and issubclass(origin, list)):
        if arguments[0] in _SCALARS:
            return origin(data)
        return origin(_build(arguments[0], item) for item in data)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {_build(arguments[0], k): _build(arguments[1], v) for k, v in data.items()}
    return data


def _build_class(kind: Any, data: Any) -> Any:
    if hasattr(kind, "__from_plain__"):
        return kind.__from_plain__(data)
    if dataclasses.is_dataclass(kind):
        hints = _hints(cast(type, kind))
        known = {f.name for f in dataclasses.fields(kind)}
        fields = {key: _build(hints[key], item) for key, item in data.items() if key in known}
        return cast(Any, kind)(**fields)
    if isinstance(kind, type) and issubclass(kind, Enum | Path):
        return kind(data)
    return data


def _build_union(kinds: tuple[Any, ...], data: Any) -> Any:
    """`X | None` and unions of scalars; a union of two dataclasses has no tag and is refused."""
    structured = [k for k in kinds if k is not type(None) and _is_structured(k)]
    if len(structured) > 1:
        raise TypeError(f"cannot tell {kinds} apart in JSON")
    return _build(structured[0], data) if structured else data


def _is_structured(kind: Any) -> bool:
    has_form = hasattr(kind, "__from_plain__") or dataclasses.is_dataclass(kind)
    is_class = isinstance(kind, type) and issubclass(kind, Enum | Path)
    return typing.get_origin(kind) is not None or has_form or is_class


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
