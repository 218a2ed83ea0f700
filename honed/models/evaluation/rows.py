"""The lines of a .jsonl file, field by field; what is wrong with one is told by its number."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import UsageError


@dataclass(frozen=True, slots=True)
class Row:
    """One line: `where` names it in messages; a field may have any of several names."""

    where: str
    data: Mapping[str, Any]

    def has(self, names: Sequence[str]) -> str | None:
        return next((name for name in names if name in self.data), None)

    def text(self, names: Sequence[str]) -> str:
        value = self._value(names)
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{self.where}: {self.has(names)} is not a text", 'like "a text"')
        return value

    def texts(self, names: Sequence[str]) -> list[str]:
        """A text, or a list of them."""
        value = self._value(names)
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
            raise UsageError(
                f"{self.where}: {self.has(names)} is not a list of texts", 'like ["a text"]'
            )
        return found

    def number(self, names: Sequence[str]) -> float:
        return number_of(self._value(names), f"{self.where}: {self.has(names)}")

    def list_of(self, names: Sequence[str]) -> list[Any]:
        value = self._value(names)
        if not isinstance(value, list):
            raise UsageError(f"{self.where}: {self.has(names)} is not a list", "like [1, 2]")
        return value

    def _value(self, names: Sequence[str]) -> Any:
        if (name := self.has(names)) is None:
            raise UsageError(
                f"{self.where}: there is no {names[0]}",
                f"it has {', '.join(self.data) or 'nothing'}; {' or '.join(names)} is looked for",
            )
        return self.data[name]


def rows_of(path: Path) -> Iterator[Row]:
    if path.suffix.lower() != ".jsonl":
        raise UsageError(f"{path} is not a .jsonl file", "eval=FILE.jsonl: one JSON object a line")
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check eval=") from error
    except UnicodeDecodeError as error:
        hint = "convert it: iconv -f ENCODING -t UTF-8"
        raise UsageError(f"{path} is not UTF-8", hint) from error
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            data = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{where}: not valid JSON: {error}", "one object a line") from error
        if not isinstance(data, dict):
            raise UsageError(f"{where}: not an object", 'like {"text": "...", "label": "..."}')
        yield Row(where, data)


def number_of(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{where} is not a number: {value!r}", "like 0.8")
    return float(value)
