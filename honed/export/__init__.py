"""Write records for other tools: complete (jsonl), in flat columns (csv, parquet), for pyperf."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from honed.case import CORE_FIELDS
from honed.errors import UnsupportedError, UsageError, nearest
from honed.export import pyperf
from honed.files import give
from honed.record import Record
from honed.values import as_typed

FORMATS = ("jsonl", "csv", "parquet", "pyperf")
_ELSEWHERE = {"case", "machine", "samples"}  # keys that vary; raw samples are only in jsonl
_SCALARS = {"str": str, "int": int, "float": float, "bool": bool}
Row = dict[str, Any]


def export(records: Sequence[Record], format: str, target: str | Path | IO[Any]) -> None:
    """Write `records` in one of FORMATS; a file appears whole or not at all."""
    check_format(format)
    writers = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet, "pyperf": pyperf.dump}
    content = writers[format](records)
    text = isinstance(typing.cast(object, target), io.TextIOBase)
    if isinstance(target, str | Path):
        give(Path(target), content, "--out FILE")
    elif not text:
        target.write(content)
    elif format == "parquet":
        raise UsageError("parquet is binary and cannot go into a text stream", "name a file")
    else:
        target.write(content.decode())


def check_format(format: str) -> None:
    """UsageError for a format that is not known."""
    if format not in FORMATS:
        raise UsageError(f"no format is called {format!r}", nearest(format, FORMATS))


def columns(records: Sequence[Record]) -> dict[str, type]:
    """The flat names with their types: those that every Record has, then others in `records`.

    `metrics.latency_s.ci95` becomes `metrics.latency_s.ci95_low` and `…_high`.
    """
    types: dict[str, type] = dict(_declared(Record, ""))
    types |= {f"case.{f.name}": _SCALARS[str(f.type).partition(" ")[0]] for f in CORE_FIELDS}
    extra: dict[str, set[type]] = {}
    for record in records:
        for name, value in flatten(record).items():
            if name not in types and value is not None:
                extra.setdefault(name, set()).add(type(value))
    for name in sorted(extra):
        kinds = extra[name]
        types[name] = kinds.pop() if len(kinds) == 1 else float if kinds <= {int, float} else str
    return types


def flatten(record: Record) -> Row:
    """The record on one level, without raw samples; lists become JSON in one cell."""
    plain = record.to_json()
    row: Row = {}
    for name, value in plain.items():
        if name == "samples":
            continue
        if name == "doubts":
            row[name] = "; ".join(f"{d['kind']}: {d['message']}" for d in value) or None
        else:
            row |= _spread(name, value)
    return row


def _spread(name: str, value: Any) -> Row:
    if isinstance(value, Mapping) and not name.endswith("histogram"):
        cells: Row = {}
        for key, inner in value.items():
            cells |= _spread(f"{name}.{key}", inner)
        return cells
    if isinstance(value, list) and "ci95" in name:
        return {f"{name}_low": value[0], f"{name}_high": value[1]}
    if isinstance(value, list | Mapping):
        return {name: json.dumps(value) if value else None}
    return {name: value}


def _declared(kind: Any, prefix: str) -> Iterator[tuple[str, type]]:
    """The columns that the types of Record declare, whether or not a record fills them."""
    for name, hint in typing.get_type_hints(kind).items():
        if not prefix and name in _ELSEWHERE:
            continue
        inner = hint
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            inner = next(a for a in typing.get_args(hint) if a is not type(None))
        if dataclasses.is_dataclass(inner):
            yield from _declared(inner, f"{prefix}{name}.")
        elif typing.get_args(inner) == (float, float):
            yield f"{prefix}{name}_low", float
            yield f"{prefix}{name}_high", float
        else:
            yield f"{prefix}{name}", inner if inner in _SCALARS.values() else str


def _jsonl(records: Sequence[Record]) -> bytes:
    return "".join(json.dumps(r.to_json(), allow_nan=False) + "\n" for r in records).encode()


def _csv(records: Sequence[Record]) -> bytes:
    order = columns(records)
    text = io.StringIO()
    writer = csv.DictWriter(text, order, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for record in records:
        writer.writerow({k: _typed(v) for k, v in flatten(record).items()})
    return text.getvalue().encode()


def _typed(value: Any) -> Any:
    """Booleans as one types them on the command line."""
    return as_typed(value) if isinstance(value, bool) else value


def _parquet(records: Sequence[Record]) -> bytes:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UnsupportedError(
            "parquet needs pyarrow, which is not installed", "pip install 'honed[parquet]'"
        ) from error
    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    order, rows = columns(records), [flatten(r) for r in records]
    arrays = {
        name: pa.array([_as(kind, row.get(name)) for row in rows], arrow[kind])
        for name, kind in order.items()
    }
    sink = io.BytesIO()
    parquet.write_table(pa.table(arrays), sink)
    return sink.getvalue()


def _as(kind: type, value: Any) -> Any:
    return None if value is None else str(_typed(value)) if kind is str else kind(value)
