"""The releases to search: `onnxruntime==1.27..1.31`, or each by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from honed.errors import UsageError

_WORD = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*==\s*(\S.*?)\s*")
_RANGE = re.compile(r"(.+?)\.\.(.+)")
_EXAMPLE = "versions='onnxruntime==1.27..1.31', or versions='onnxruntime==1.27.0,1.29.1,1.31.0'"


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of one package, the oldest first, at least two."""

    package: str
    versions: tuple[str, ...]


def parse(text: str, index: Callable[[str], Sequence[str]]) -> Releases:
    """The releases that `text` means. `index` lists the releases of a package; it is asked for a
    range only. A range ends with every release of its last number: `..1.31` includes 1.31.1."""
    word = _WORD.fullmatch(text)
    if word is None:
        raise UsageError(f"versions={text} names no releases", _EXAMPLE)
    package, wanted = word[1], word[2]
    if ends := _RANGE.fullmatch(wanted):
        low, high = _version(ends[1]), _version(ends[2])
        known = [_version(version) for version in index(package)]
        found = [v for v in known if low <= v and (v <= high or _begins(v, high))]
        if len(set(found)) < 2:
            listed = ", ".join(map(str, sorted(known, reverse=True)[:12]))
            raise UsageError(
                f"{len(set(found))} releases of {package} lie in {wanted}",
                f"the index has {listed}, ...",
            )
    else:
        found = [_version(each) for each in wanted.split(",")]
        if len(set(found)) < 2:
            raise UsageError("a search needs two releases or more", _EXAMPLE)
    return Releases(package, tuple(map(str, sorted(set(found)))))


def _begins(version: Version, high: Version) -> bool:
    return version.release[: len(high.release)] == high.release


def _version(text: str) -> Version:
    try:
        return Version(text.strip())
    except InvalidVersion:
        raise UsageError(f"{text.strip()!r} is no version", _EXAMPLE) from None
