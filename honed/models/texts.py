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
    return [text for _, text in numbered_texts(path, field)]


def numbered_texts(path: Path, field: str) -> list[tuple[int, str]]:
    """The texts of `read_texts`, each with the number of the line that it ends in."""
    kind = path.suffix.lower()
    if kind not in _KINDS:
        what = f"honed reads no {kind or 'such'} files: {path}"
        raise UsageError(what, f"use {', '.join(_KINDS)}")
    content = read_utf8(path, "inputs")
    if "\0" in content:
        line = content.count("\n", 0, content.index("\0")) + 1
        raise UsageError(
            f"{path}, line {line}: the file holds a NUL character",
            "remove it; if the file is UTF-16, convert it: iconv -f UTF-16 -t UTF-8",
        )
    texts: Iterator[tuple[int, str]]
    if kind == ".txt":
        # Only LF and CRLF end a line: a text may hold U+2028, U+0085 or a form feed.
        lines = content.split("\n")
        texts = iter([(n, line.removesuffix("\r")) for n, line in enumerate(lines, 1)])
    elif kind == ".jsonl":
        texts = _from_jsonl(path, content, field)
    else:
        texts = _from_table(path, content, field, "\t" if kind == ".tsv" else ",")
    filled = [(number, text) for number, text in texts if text.strip()]
    if not filled:
        raise UsageError(f"{path} holds no text", "put one text per line into it")
    for number, text in filled:
        refuse_unreadable(text, f"{path}, line {number}")
    return filled


def refuse_unreadable(text: str, where: str) -> None:
    """UsageError for a text that no tokenizer can read."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{where}: the text holds half of a surrogate pair ({text[error.start]!a})",
            "the text was cut inside a character: remove that half, or replace it by \\ufffd",
        ) from error


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


def json_lines(path: Path, content: str, example: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The object in each line that is not blank, with the number of the line."""
    # Split at line feeds only, because JSON strings may hold other line separators.
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            what = f"{where}: not valid JSON: {error}"
            raise UsageError(what, "write one object per line") from error
        if not isinstance(value, dict):
            raise UsageError(f"{where}: not an object", f"like {example}")
        yield number, value


def _from_jsonl(path: Path, content: str, field: str) -> Iterator[tuple[int, str]]:
    for number, value in json_lines(path, content, f'{{"{field}": "..."}}'):
        where = f"{path}, line {number}"
        if field not in value:
            raise _no_field(where, field, list(value))
        if not isinstance(value[field], str):
            raise UsageError(f"{where}: {field} is not a text", _fields_hint(list(value)))
        yield number, value[field]


def _from_table(path: Path, content: str, field: str, delimiter: str) -> Iterator[tuple[int, str]]:
    # `strict` refuses a quote without its partner, which would join the rows up to the next quote.
    # io.StringIO with newline="\n" ends lines at LF only.
    lines = io.StringIO(content, newline="\n")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    # A cell may be a whole document, beyond the 131072 characters that csv allows.
    limit = csv.field_size_limit(max(csv.field_size_limit(), len(content)))
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
            yield reader.line_num, row[column]
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {reader.line_num}: {error}",
            "check the quotes around that line, or write the texts as .jsonl",
        ) from error
    finally:
        csv.field_size_limit(limit)


def _no_field(where: str, field: str, present: list[str]) -> UsageError:
    return UsageError(f"{where}: there is no {field}", _fields_hint(present))


def _fields_hint(present: list[str]) -> str:
    return f"use inputs_field={' or '.join(present[:8])}" if present else "the file is empty"
