"""The page's words around the pictures: head, findings, doubts, machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from honed.record import Record
from honed.report.evidence import SUBJECT, Evidence, machine
from honed.report.figures.base import Picture
from honed.show.numbers import NONE
from honed.show.say import word

_GIB = 2**30


def title(evidence: Evidence) -> str:
    names = list(dict.fromkeys(evidence.model_names.values()))
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"honed: {shown}" if names else "honed report"


def head(evidence: Evidence) -> str:
    records = evidence.records
    failed = sum(r.metrics is None for r in records)
    days = sorted({r.created[:10] for r in records})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else ""
    facts = [
        counted(len(records), "record"),
        f"{failed} without a result" if failed else "",
        ", ".join(dict.fromkeys(map(machine, records))),
        when,
    ]
    return (
        f"<header><h1>{escape(title(evidence))}</h1>"
        f"<p>{escape(' · '.join(filter(None, facts)))}</p></header>"
    )


def in_short(
    evidence: Evidence, pictures: Sequence[tuple[str, Picture]], notes: Sequence[str]
) -> str:
    """Every picture's finding, and how many records hold."""
    items = [
        f'<li><a href="#{name}">{escape(p.title)}</a>: {escape(p.sentence)}</li>'
        for name, p in pictures
    ]
    items += [f"<li>{escape(note)}</li>" for note in notes]
    counts = {s: sum(r.status == s for r in evidence.records) for s in _statuses(evidence)}
    told = ", ".join(f"{n} {s}" for s, n in counts.items())
    items.append(f'<li><a href="#doubts">Trust</a>: of {len(evidence.records)} records {told}; '
                 f"{counted(sum(bool(r.doubts) for r in evidence.records), 'record')} "
                 "with doubts.</li>")  # fmt: skip
    none = "" if pictures else "<p>Nothing varies in these records: there is nothing to draw.</p>"
    return f'<section id="short"><h2>In short</h2>{none}<ul>{"".join(items)}</ul></section>'


def doubts(evidence: Evidence) -> str:
    """What failed, diverged or is unproven, with its reason; then what makes the rest doubtful."""
    keys = evidence.varying(evidence.records, without=(k for k in SUBJECT if k != "model"))
    failed: dict[tuple[str, str], list[Record]] = {}
    for record in evidence.records:
        if not record.ok:
            failed.setdefault((record.status, _reason(record)), []).append(record)
    rows = [
        f"<li>{badge(status)} {escape(reason)}: "
        + "; ".join(f"{link(r.id)} {escape(evidence.label(r, keys))}" for r in records)
        + "</li>"
        for (status, reason), records in failed.items()
    ]
    said: dict[str, list[str]] = {}
    for record in evidence.records:
        for doubt in record.doubts:
            said.setdefault(doubt.message, []).append(record.id)
    rows += [
        f"<li>{badge('doubt')} {escape(message)}: {' '.join(map(link, ids))}</li>"
        for message, ids in said.items()
    ]
    inner = f"<ul>{''.join(rows)}</ul>" if rows else "<p>Every record is ok and without doubt.</p>"
    heading = "<h2>Failed, diverged, unproven, doubtful</h2>"
    return f'<section id="doubts">{heading}{inner}</section>'


def machines(evidence: Evidence) -> str:
    """What each machine is. What differed between its records is said, all of it."""
    groups: dict[str, list[Record]] = {}
    for record in evidence.records:
        groups.setdefault(machine(record), []).append(record)
    parts = []
    for name, records in groups.items():
        facts = {label: _once(read(r.machine) for r in records) for label, read in _FACTS.items()}
        facts["honed"] = _once(r.honed for r in records)
        rows = "".join(
            f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>"
            for label, text in facts.items()
            if text
        )
        parts.append(f"<h3>{escape(name)}</h3><dl>{rows}</dl>")
    heading = f"<h2>Machine{'s' * (len(groups) > 1)}</h2>"
    return f'<section id="machine">{heading}{"".join(parts)}</section>'


def foot(evidence: Evidence) -> str:
    ids = record_list([r.id for r in evidence.records])
    return (
        "<footer><p>Made by honed report from stored records; nothing was measured for it. "
        f"<code>honed show ID</code> shows a record whole.</p>{ids}</footer>"
    )


def record_list(ids: Sequence[str]) -> str:
    links = " ".join(map(link, ids))
    summary = counted(len(ids), "record")
    return f'<details class="ids"><summary>{summary}</summary><p>{links}</p></details>'


def link(id: str) -> str:
    return f'<a class="id" href="#r-{escape(id)}">{escape(id[:8])}</a>'


def badge(status: str) -> str:
    return f'<span class="status {escape(status)}">{escape(status)}</span>'


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _statuses(evidence: Evidence) -> list[str]:
    return list(
        dict.fromkeys(sorted((r.status for r in evidence.records), key=lambda s: s != "ok"))
    )


def _reason(record: Record) -> str:
    if record.error is None:
        return "no reason was recorded"
    hint = f" → {record.error.hint}" if record.error.hint else ""
    return record.error.message + hint


def _once(words: Any) -> str:
    return " | ".join(dict.fromkeys(w for w in words if w))


def _word(key: str) -> Any:
    def read(facts: Mapping[str, Any]) -> str:
        value = facts.get(key)
        if isinstance(value, Mapping):
            return ", ".join(f"{k} {word(v)}" for k, v in value.items() if v is not None)
        if isinstance(value, list | tuple):
            return " ".join(map(word, value))
        return "" if value is None else word(value)

    return read


def _memory(facts: Mapping[str, Any]) -> str:
    size, limit = facts.get("memory_bytes"), (facts.get("limits") or {}).get("memory_bytes")
    if not size:
        return NONE
    allowed = f", of which {limit / _GIB:.1f} GiB may be used" if limit and limit < size else ""
    return f"{size / _GIB:.1f} GiB{allowed}"


def _limits(facts: Mapping[str, Any]) -> str:
    why = (facts.get("limits") or {}).get("why") or {}
    return "; ".join(f"{k} {word(v)}" for k, v in why.items())


def _shape(facts: Mapping[str, Any]) -> str:
    shape = facts.get("topology") or {}
    names = {"sockets": "socket", "cores": "core", "cpus": "CPU"}
    return ", ".join(counted(shape[n], noun) for n, noun in names.items() if shape.get(n))


_FACTS = {
    "cpu": _word("cpu"),
    "topology": _shape,
    "instructions": _word("flags"),
    "memory": _memory,
    "limits": _limits,
    "container": _word("container"),
    "virtual": _word("virtualised"),
    "governor": _word("governor"),
    "turbo": _word("turbo"),
    "huge pages": _word("thp"),
    "kernel": _word("kernel"),
    "python": _word("python"),
    "packages": _word("packages"),
}
