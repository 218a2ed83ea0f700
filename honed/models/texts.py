"""Texts from a file. Errors name the line that is wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from honed.errors import UsageError

_KINDS = (".txt", ".jsonl", ".csv", ".tsv")


def read_texts(path: Path, field: str) -> list[str]:
    """One text per line (.txt), per object (.jsonl) or per row (.csv, .tsv); blanks are skipped.

    `field` is the key or column that holds the text; .txt files have none.
    """
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise UsageError(
            f"honed reads no {kind or 'such'} files: {path}", f"use {', '.join(_KINDS)}"
        )
    content = read_utf8(path, "inputs")
    if kind == ".txt":
        texts: Iterator[str] = iter(content.splitlines())
    elif kind == ".jsonl":
        texts = _from_jsonl(path, content, field)
    else:
        texts = _from_table(path, content, field, "\t" if kind == ".tsv" else ",")
    filled = [text for text in texts if text.strip()]
    if not filled:
        raise UsageError(f"{path} holds no text", "put one text per line into it")
    return filled


def read_utf8(path: Path, key: str) -> str:
    """The file's text. `key` is the setting that named the file, for messages."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", f"check the path of {key}="
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}, line {line}: not UTF-8", "convert it: iconv -f ENCODING -t UTF-8"
        ) from error


def json_lines(path: Path, content: str, example: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The object in each line that is not blank, with words that name the line in messages."""
    # Split at line feeds only, because JSON strings may hold other line separators.
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UsageError(
                f"{where}: not valid JSON: {error}", "write one object per line"
            ) from error
        if not isinstance(value, dict):
            raise UsageError(f"{where}: not an object", f"like {example}")
        yield where, value


def _from_jsonl(path: Path, content: str, field: str) -> Iterator[str]:
    for where, value in json_lines(path, content, f'{{"{field}": "..."}}'):
        if field not in value:
            raise _no_field(where, field, list(value))
        if not isinstance(value[field], str):
            raise UsageError(f"{where}: {field} is not a text", _fields_hint(list(value)))
        yield value[field]


def _from_table(path: Path, content: str, field: str, delimiter: str) -> Iterator[str]:
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    try:
        columns = next(reader, [])
        if field not in columns:
            raise _no_field(f"{path}, line 1", field, columns)
        column = columns.index(field)
        for row in reader:
            if not row:
                continue
            if len(row) <= column:
                raise UsageError(
                    f"{path}, line {reader.line_num}: {len(row)} columns, {field} is number "
                    f"{column + 1}",
                    "quote texts that hold line breaks or separators",
                )
            yield row[column]
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {reader.line_num}: {error}", "check the quotes around that line"
        ) from error


def _no_field(where: str, field: str, present: list[str]) -> UsageError:
    return UsageError(f"{where}: there is no {field}", _fields_hint(present))


def _fields_hint(present: list[str]) -> str:
    return f"use inputs_field={' or '.join(present[:8])}" if present else "the file is empty"
