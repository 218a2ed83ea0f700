"""How often each length occurs, read from a histogram file or from a record's inputs section."""

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
from honed.models.texts import json_lines, read_utf8

_KEY = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")
_EXAMPLE = 'like {"16": 40, "17-32": 25}, or a record of honed run --json'
_MOST_TOKENS = 1 << 20  # far beyond any encoder: a key above it is a mistake, not a length

Weights = dict[int, float]  # length -> how often


def read_histogram(path: Path) -> Weights:
    """Lengths and their weights from .json, .jsonl (records) or .csv (length,count).

    A key such as "65-128", which records write when there are many lengths, spreads its count
    evenly over the lengths in it.
    """
    text = read_utf8(path, "lengths")
    kind = path.suffix.lower()
    if kind == ".csv":
        counts = _from_csv(path, text)
    elif kind == ".jsonl":
        counts = _from_lines(path, text)
    else:
        try:
            counts = _counts(path, json.loads(text))
        except ValueError as error:
            raise UsageError(f"{path}: not valid JSON: {error}", _EXAMPLE) from error
    weights = _spread(path, counts)
    if not weights:
        raise UsageError(f"{path} counts no sequence", _EXAMPLE)
    return weights


def quantiles(weights: Mapping[int, float], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each share (0 to 1), the length below which this share of the sequences lies."""
    lengths = np.array(sorted(weights), np.int64)
    running = np.cumsum([weights[int(n)] for n in lengths])
    index = np.searchsorted(running, shares * running[-1], side="right")
    chosen: NDArray[np.int64] = lengths[np.minimum(index, len(lengths) - 1)]
    return chosen


def _counts(where: Path | str, value: Any) -> dict[str, Any]:
    """The counts in a plain histogram, in an `inputs` section, or in a record that has one."""
    if isinstance(value, dict):
        inner = value.get("inputs", value)
        inner = inner.get("length_histogram", inner) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and inner:
            return inner
    raise UsageError(f"{where} holds no histogram", _EXAMPLE)


def _from_lines(path: Path, text: str) -> dict[str, Any]:
    lines = json_lines(path, text, "a record of honed run --json")
    histograms = [_counts(f"{path}, line {number}", record) for number, record in lines]
    if not histograms:
        raise UsageError(f"{path} is empty", _EXAMPLE)
    if any(histogram != histograms[0] for histogram in histograms):
        raise UsageError(
            f"{path} holds records of different inputs", "keep the lines of one: head -n 1"
        )
    return histograms[0]


def _from_csv(path: Path, text: str) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
        if not any(cell.strip() for cell in row):
            continue
        if number == 1 and not _KEY.fullmatch(row[0]):
            continue  # the columns' names
        if len(row) != 2:
            raise UsageError(
                f"{path}, line {number}: not length,count", "write two columns, for example 128,40"
            )
        length, count = row
        if length.strip() in counts:
            raise UsageError(f"{path}, line {number}: {length} again", "write one line a length")
        counts[length.strip()] = count
    return counts


def _spread(path: Path, counts: Mapping[str, Any]) -> Weights:
    weights: Weights = {}
    for key, count in counts.items():
        match, weight = _KEY.fullmatch(key), _weight(count)
        low = int(match[1]) if match else 0
        high = int(match[2] or low) if match else 0
        if weight is None or not 1 <= low <= high <= _MOST_TOKENS:
            raise UsageError(f"{path}: {key}: {count} is not a length and its count", _EXAMPLE)
        for length in range(low, high + 1) if weight else ():
            weights[length] = weights.get(length, 0.0) + weight / (high - low + 1)
    return weights


def _weight(count: Any) -> float | None:
    if isinstance(count, bool):
        return None
    try:
        weight = float(count)
    except (TypeError, ValueError):
        return None
    return weight if 0 <= weight < float("inf") else None
