"""The lines of a .jsonl file and their fields. Errors name the line that is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import UsageError
from honed.models.texts import json_lines, read_utf8, refuse_unreadable


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `where` names it in messages. A field may have one of several names."""

    where: str
    data: Mapping[str, Any]

    def has(self, names: Sequence[str]) -> str | None:
        return next((name for name in names if name in self.data), None)

    def text(self, names: Sequence[str]) -> str:
        value = self._value(names)
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{self.where}: {self.has(names)} is not a text", 'like "a text"')
        refuse_unreadable(value, self.where)
        return value

    def texts(self, names: Sequence[str]) -> list[str]:
        """A list of texts; a single text becomes a list of one."""
        value = self._value(names)
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
            raise UsageError(
                f"{self.where}: {self.has(names)} is not a list of texts", 'like ["a text"]'
            )
        for text in texts:
            if not text.strip():
                raise UsageError(
                    f"{self.where}: {self.has(names)} holds an empty text", "remove it"
                )
            refuse_unreadable(text, self.where)
        return texts

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
                f"the line has {', '.join(self.data) or 'nothing'}; add {' or '.join(names)}",
            )
        return self.data[name]


def rows_of(path: Path) -> Iterator[Row]:
    if path.suffix.lower() != ".jsonl":
        raise UsageError(f"{path} is not a .jsonl file", "eval=FILE.jsonl: one JSON object a line")
    content = read_utf8(path, "eval")
    for number, data in json_lines(path, content, '{"text": "...", "label": "..."}'):
        yield Row(f"{path}, line {number}", data)


def texts_by_line(path: Path) -> Iterator[tuple[int, set[str]]]:
    """Every text in each line, wherever it stands, with the number of the line."""
    for number, data in json_lines(path, read_utf8(path, "eval"), "{}"):
        values = [
            v for value in data.values() for v in (value if type(value) is list else [value])
        ]
        yield number, {value for value in values if isinstance(value, str)}


def number_of(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{where} is not a number: {value!r}", "like 0.8")
    return float(value)
