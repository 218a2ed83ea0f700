"""Records as JSON in pyperf's format 1.0, for commands such as `python -m pyperf compare_to`.

A Case becomes a benchmark, each of its records a run, each call a value in seconds. pyperf pairs
the benchmarks of two files by name. A name therefore holds the model, the shape and the settings
that differ between the Cases of its file, and no others: two files with one setting each are
compared shape by shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from honed.case import CORE_KEYS
from honed.errors import UsageError
from honed.record import Record
from honed.values import as_typed

_NAMED = ("model", "batch_size", "sequence_length")
# These keys say how long and how a Case is measured: records that differ only in them are runs of
# the same benchmark.
_HOW_LONG = ("duration_s", "min_samples", "warmup_s", "timeout_s", "memory", "total_batch")


def dump(records: Sequence[Record]) -> bytes:
    """A suite of the finished records; UsageError without any, as pyperf has no empty suite."""
    finished = [r for r in records if r.ok and r.samples is not None]
    if not finished:
        raise UsageError(
            "no record that is ok: pyperf keeps no others", "honed list shows each one's status"
        )
    varying = [k for k in _keys(finished) if len({_word(r.case.get(k)) for r in finished}) > 1]
    groups: dict[str, list[Record]] = {}
    for record in finished:
        groups.setdefault(_name(record, varying), []).append(record)
    benchmarks = [_benchmark(name, runs) for name, runs in groups.items()]
    metadata = {"unit": "second", "loops": 1}
    suite = {"version": "1.0", "metadata": metadata, "benchmarks": benchmarks}
    return json.dumps(suite, allow_nan=False).encode() + b"\n"


def _keys(records: Sequence[Record]) -> list[str]:
    """The keys that a name may hold, core keys first."""
    knobs = sorted({key for r in records for key in r.case} - set(CORE_KEYS))
    return [k for k in (*CORE_KEYS, *knobs) if k not in (*_NAMED, *_HOW_LONG)]


def _name(record: Record, varying: Sequence[str]) -> str:
    case = record.case
    words = [f"{case['model']} {case['batch_size']}x{case['sequence_length']}"]
    words += [f"{k}={_word(case[k])}" for k in varying if case.get(k) is not None]
    return " ".join(words)


def _benchmark(name: str, records: Sequence[Record]) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "runs": [{"metadata": _metadata(r), "values": _calls_s(r)} for r in records],
    }


def _calls_s(record: Record) -> list[float]:
    assert record.samples is not None
    return [call_s for instance in record.samples.latency_s for call_s in instance]


def _metadata(record: Record) -> dict[str, str | int | float]:
    """The metadata that pyperf defines, then the Case as `honed.KEY`, without empty values."""
    facts: dict[str, Any] = {
        "date": _date(record),
        "duration": record.metrics and record.metrics.window_s,
        "mem_max_rss": record.memory and record.memory.rss_peak_bytes,
        "honed.record": record.id,
        "honed.version": record.honed,
        # Not `cpu_model_name`: pyperf requires that to be the same in all runs.
        "honed.cpu": record.machine.get("cpu"),
        **{f"honed.{key}": value for key, value in record.case.items()},
    }
    plain = {key: _plain(value) for key, value in facts.items()}
    return {key: value for key, value in plain.items() if value is not None and value != ""}


def _date(record: Record) -> str:
    """When the calls began, in UTC and pyperf's format."""
    assert record.samples is not None
    began_s = record.samples.window_began_s
    when = datetime.fromisoformat(record.created)
    if began_s is not None:
        when = datetime.fromtimestamp(began_s, UTC)
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(" ")


def _plain(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return None if value is None else " ".join(_word(value).split())


def _word(value: Any) -> str:
    return json.dumps(dict(value)) if isinstance(value, Mapping) else as_typed(value)
