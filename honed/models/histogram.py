"""How often each length occurs: read from a file, or from what a record keeps of its inputs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.errors import UsageError

_KEY = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")
_LIKE = 'like {"16": 40, "17-32": 25}, or a record of honed run --json'
_MOST = 1 << 20  # tokens: far beyond any encoder; a key above it is a mistake, not a length

Weights = dict[int, float]  # length -> how often


def read_histogram(path: Path) -> Weights:
    """Lengths and their weights from .json, .jsonl (records) or .csv (length,count).

    A key like "65-128", as records write it when there are many, stands for each length in it.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"cannot read lengths={path}: {error.strerror}", "check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8", _LIKE) from error
    kind = path.suffix.lower()
    if kind == ".csv":
        counts = _from_csv(path, text)
    elif kind == ".jsonl":
        counts = _from_lines(path, text)
    else:
        counts = _counts(path, _parsed(path, text))
    found = _spread(path, counts)
    if not found:
        raise UsageError(f"{path} counts no sequence", _LIKE)
    return found


def quantiles(weights: Mapping[int, float], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """The length under which each share (0 to 1) of the sequences lies."""
    lengths = np.array(sorted(weights), np.int64)
    running = np.cumsum([weights[int(n)] for n in lengths])
    index = np.searchsorted(running, shares * running[-1], side="right")
    found: NDArray[np.int64] = lengths[np.minimum(index, len(lengths) - 1)]
    return found


def _parsed(where: Path | str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where}: not valid JSON: {error}", _LIKE) from error


def _counts(where: Path | str, value: Any) -> dict[str, Any]:
    """A plain histogram, an `inputs` section, or a record that has one."""
    if isinstance(value, dict):
        inner = value.get("inputs", value)
        inner = inner.get("length_histogram", inner) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and inner:
            return inner
    raise UsageError(f"{where} holds no histogram", _LIKE)


def _from_lines(path: Path, text: str) -> dict[str, Any]:
    found = [
        _counts(f"{path}, line {number}", _parsed(f"{path}, line {number}", line))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if not found:
        raise UsageError(f"{path} is empty", _LIKE)
    if any(counts != found[0] for counts in found):
        raise UsageError(
            f"{path} holds records of different inputs", "keep the lines of one: head -n 1"
        )
    return found[0]


def _from_csv(path: Path, text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
        if not any(cell.strip() for cell in row):
            continue
        if number == 1 and not _KEY.fullmatch(row[0]):
            continue  # names of the columns
        if len(row) != 2:
            raise UsageError(f"{path}, line {number}: not length,count", "two columns, as 128,40")
        if row[0].strip() in found:
            raise UsageError(f"{path}, line {number}: {row[0]} again", "one line a length")
        found[row[0].strip()] = row[1]
    return found


def _spread(path: Path, counts: Mapping[str, Any]) -> Weights:
    found: Weights = {}
    for key, count in counts.items():
        match, weight = _KEY.fullmatch(key), _weight(count)
        low = int(match[1]) if match else 0
        high = int(match[2] or low) if match else 0
        if weight is None or not 1 <= low <= high <= _MOST:
            raise UsageError(f"{path}: {key}: {count} is no length and count", _LIKE)
        for length in range(low, high + 1) if weight else ():
            found[length] = found.get(length, 0.0) + weight / (high - low + 1)
    return found


def _weight(count: Any) -> float | None:
    if isinstance(count, bool):
        return None
    try:
        weight = float(count)
    except (TypeError, ValueError):
        return None
    return weight if 0 <= weight < float("inf") else None
