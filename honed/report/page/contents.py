"""The page's text around the pictures, as data for the templates: heading, failures, machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from honed.record import Record
from honed.report.evidence import Evidence
from honed.show.group_messages import folded
from honed.show.numbers import NONE
from honed.show.rows import SUBJECT
from honed.show.say import machine_name, word

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Failure:
    """Records that are not ok for the same reason, each with its id and its label."""

    status: str
    reason: str
    records: tuple[tuple[str, str], ...]


def title(evidence: Evidence) -> str:
    names = list(dict.fromkeys(evidence.model_names.values()))
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"honed: {shown}" if names else "honed report"


def heading(evidence: Evidence) -> str:
    """How many records there are, of which machines and days."""
    records = evidence.records
    failed = sum(r.metrics is None for r in records)
    days = sorted({r.created[:10] for r in records})
    facts = [
        counted(len(records), "record"),
        f"{failed} without a result" if failed else "",
        ", ".join(dict.fromkeys(map(machine_name, records))),
        " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "",
    ]
    return " · ".join(filter(None, facts))


def status_counts(evidence: Evidence) -> str:
    """`7 ok, 1 diverged`."""
    statuses = sorted((r.status for r in evidence.records), key=lambda status: status != "ok")
    return ", ".join(f"{statuses.count(s)} {s}" for s in dict.fromkeys(statuses))


def failures(evidence: Evidence) -> list[Failure]:
    """What failed, diverged or is unproven, by status and reason."""
    keys = evidence.varying(evidence.records, without=(k for k in SUBJECT if k != "model"))
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in evidence.records:
        if not record.ok:
            groups.setdefault((record.status, reason(record)), []).append(record)
    return [
        Failure(status, reason, tuple((r.id, evidence.label(r, keys)) for r in records))
        for (status, reason), records in groups.items()
    ]


def doubts(evidence: Evidence) -> list[tuple[str, list[str]]]:
    """Each message once, with the ids of the records that it makes doubtful. Messages that differ
    only in their numbers are one."""
    lines = folded([d.message for r in evidence.records for d in r.doubts])
    groups: dict[str, dict[str, None]] = {}
    for record in evidence.records:
        for doubt in record.doubts:
            groups.setdefault(lines[doubt.message], {})[record.id] = None
    return [(line, list(ids)) for line, ids in groups.items()]


def machines(evidence: Evidence) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each machine's facts. Where a fact differs between its records, all its values are shown."""
    groups: dict[str, list[Record]] = {}
    for record in evidence.records:
        groups.setdefault(machine_name(record), []).append(record)
    return [
        (name, [(label, text) for label, read in _FACTS.items()
                if (text := " | ".join(dict.fromkeys(filter(None, map(read, records)))))])
        for name, records in groups.items()
    ]  # fmt: skip


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def reason(record: Record) -> str:
    if record.error is None:
        return "no reason was recorded"
    return " → ".join(filter(None, [record.error.message, record.error.hint]))


def _fact(key: str) -> Callable[[Record], str]:
    """Reads one entry of a record's machine as text."""

    def read(record: Record) -> str:
        value = record.machine.get(key)
        if isinstance(value, Mapping):
            return ", ".join(f"{k} {word(v)}" for k, v in value.items() if v is not None)
        if isinstance(value, list | tuple):
            return " ".join(map(word, value))
        return "" if value is None else word(value)

    return read


def _limits(record: Record) -> Mapping[str, Any]:
    return record.machine.get("limits") or {}


def _memory(record: Record) -> str:
    size, limit = record.machine.get("memory_bytes"), _limits(record).get("memory_bytes")
    if not size:
        return NONE
    allowed = f", of which {limit / _GIB:.1f} GiB may be used" if limit and limit < size else ""
    return f"{size / _GIB:.1f} GiB{allowed}"


def _topology(record: Record) -> str:
    counts = record.machine.get("topology") or {}
    names = {"sockets": "socket", "cores": "core", "cpus": "CPU"}
    return ", ".join(counted(counts[key], noun) for key, noun in names.items() if counts.get(key))


_FACTS: Mapping[str, Callable[[Record], str]] = {
    "cpu": _fact("cpu"), "topology": _topology, "instructions": _fact("flags"),
    "memory": _memory,
    "limits": lambda r: "; ".join(
        f"{k} {word(v)}" for k, v in (_limits(r).get("why") or {}).items()),
    "container": _fact("container"), "virtual": _fact("virtualised"),
    "governor": _fact("governor"), "turbo": _fact("turbo"), "huge pages": _fact("thp"),
    "kernel": _fact("kernel"), "python": _fact("python"), "packages": _fact("packages"),
    "honed": lambda r: r.honed,
}  # fmt: skip
