"""A comparison with a file of records: measure the file's Cases now, and compare.

The past cannot be measured in turns with today. What is left are two independent groups of
processes, and the assumption that the machine has not changed. Every verdict says both.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from honed.case import Case
from honed.compare.outcome import ComparedSide, Comparison, Contrast, Ended, contrast
from honed.compare.say import interval
from honed.compare.session import CompareOptions, Session
from honed.compare.settings import differing
from honed.compose import change
from honed.errors import UsageError
from honed.experiment.draw import Draw, Metric, log_time, value_of
from honed.machine.facts import machine_facts
from honed.record import Doubt, Interval, Record
from honed.run.lab import Lab
from honed.statistics import paired

_LEAST_NEW = 5  # processes measured now, however few the file has


@dataclass(frozen=True, slots=True)
class Group:
    """A Case of the file: what to measure now, and its old records, one process each."""

    label: str
    case: Case
    records: tuple[Record, ...]

    def old_values(self, metric: Metric) -> list[float]:
        values = [value_of(record, metric) for record in self.records]
        return [value for value in values if value]


def compare_with(
    path: Path, words: Sequence[str], options: CompareOptions, lab: Lab
) -> Comparison:
    """Measure each Case of the file, changed by `words`, as often as the file has it.

    There is one look, at the end, so that no verdict profits from an early look. The 5 % are
    shared evenly over the Cases. A Case with too few records in the file is undecided and is not
    measured.
    """
    records, left_out = read(path)
    groups = grouped(records, words)
    session = Session({g.label: g.case for g in groups}, options, lab)
    comparable = {g.label: g for g in groups if _why_not(g, options.metric) is None}
    ended: Ended = "decided"
    try:
        for name, block in _order(comparable, session.seed):
            if session.elapsed_s + session.mean_trial_s > options.budget_s:
                ended = "budget"
                break
            drawn = session.experiment.draw(name, session.cases[name], block)
            if not isinstance(drawn, Draw):
                return session.comparison("failed", drawn)
            session.blocks.blocks.append({name: drawn})
        session.read_sentinel()
    except KeyboardInterrupt:
        ended = "interrupted"
    new_logs = {g.label: [d.log_time for d in session.blocks.draws(g.label)] for g in groups}
    contrasts = tuple(_contrast(g, new_logs[g.label], len(groups), options) for g in groups)
    session.judged = lambda: contrasts
    comparison = session.comparison(ended)
    pairs = zip(groups, comparison.sides, strict=True)
    sides = tuple(side for g, now in pairs for side in _sides(g, now, options.metric))
    doubts = (*_doubts(records, left_out), *comparison.doubts)
    return dataclasses.replace(comparison, sides=sides, doubts=doubts)


def read(path: Path) -> tuple[list[Record], int]:
    """The finished records of the file, each once, and the number of its other records."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # texts hold other separators
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
            "write one with honed export --out main.jsonl",
        ) from None
    by_id: dict[str, Record] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            record = _parsed(path, number, line)
            by_id[record.id] = record
    finished = [r for r in by_id.values() if r.ok and r.metrics is not None]
    if not finished:
        raise UsageError(
            f"{path} holds no finished record", "honed export --out main.jsonl writes some"
        )
    return finished, len(by_id) - len(finished)


def grouped(records: Sequence[Record], words: Sequence[str]) -> list[Group]:
    """The Cases of the file, in its order and changed by `words`, with labels that differ."""
    by_case: dict[Case, list[Record]] = {}
    for record in records:
        by_case.setdefault(record.to_case(), []).append(record)
    differences = differing({case.id: case for case in by_case}).values()
    varying = tuple(dict.fromkeys(key for keys in differences for key in keys))
    groups = []
    for case, old_records in by_case.items():
        cases = change(case, words).cases
        if len(cases) > 1:
            raise UsageError("each Case of the file is measured once", "give single values")
        groups.append(Group(case.label(varying), cases[0], tuple(old_records)))
    return groups


def _parsed(path: Path, number: int, line: str) -> Record:
    try:
        data: Any = json.loads(line)
        return Record.from_json(data)
    except (ValueError, TypeError, AttributeError, KeyError):
        raise UsageError(
            f"{path}, line {number}, is no record",
            "the file has one JSON record a line, as honed run --json and honed export write",
        ) from None


def _order(groups: Mapping[str, Group], seed: int) -> Iterator[tuple[str, int]]:
    """Blocks of all Cases that still need a process, each in random order."""
    rng = random.Random(seed)
    needed = {name: max(_LEAST_NEW, len(g.records)) for name, g in groups.items()}
    for block in range(max(needed.values(), default=0)):
        left = [name for name, count in needed.items() if count > block]
        yield from ((name, block) for name in rng.sample(left, len(left)))


def _why_not(group: Group, metric: Metric) -> str | None:
    """Why the old records of this Case cannot be compared on this machine; None if they can."""
    count = len(group.old_values(metric))
    if not paired.enough(count):
        return (
            f"the file has {count} record{'s' if count != 1 else ''} of it and one process is one "
            "draw: repeat honed run until there are 3 or more, better 10, and export them all"
        )
    here = _machine(machine_facts())
    for there in (_machine(r.machine) for r in group.records):
        if there != here:
            return f"measured on another machine: {there}; this is {here}"
    return None


def _machine(facts: Mapping[str, Any]) -> str:
    return f"{facts.get('cpu')}, {facts.get('limits', {}).get('effective_cpus')} cores"


def _contrast(
    group: Group, new_logs: Sequence[float], cases: int, options: CompareOptions
) -> Contrast:
    names = (group.label, "the baseline")
    why = _why_not(group, options.metric)
    if why is None and not new_logs:
        why = "the budget or Ctrl-C came first"
    if why is not None:
        return Contrast(*names, "undecided", Interval(None), 0, reason=why)
    old_logs = [log_time(v, options.metric) for v in group.old_values(options.metric)]
    estimate = paired.old_and_new(old_logs, new_logs, paired.ALPHA / cases)
    judgement = paired.Judgement(options.question.answer(estimate), estimate)
    result = contrast(names, judgement, options.metric, math.inf)
    if result.verdict != "undecided":
        return result
    counts = f"{len(old_logs)} processes then and {len(new_logs)} now"
    advice = "more records of it in the file would narrow it"
    reason = f"{interval(result.ratio)} from {counts}: {advice}"
    return dataclasses.replace(result, reason=reason)


def _sides(group: Group, now: ComparedSide, metric: Metric) -> tuple[ComparedSide, ComparedSide]:
    """Two sides of a Case, then and now, each with the keys in which it differs from the other."""
    old_case = group.records[0].to_case()
    differs = differing({"then": old_case, "now": group.case})
    values = group.old_values(metric)
    cosines = [r.fidelity.cosine_min for r in group.records if r.fidelity is not None]
    then = ComparedSide(
        f"{group.label} (baseline)", old_case.to_json(), differs["then"], trials=len(values),
        median=float(np.median(values)) if values else None,
        cosine_min=min(cosines, default=None), records=tuple(r.id for r in group.records),
    )  # fmt: skip
    return then, dataclasses.replace(now, differs=differs["now"])


def _doubts(records: Sequence[Record], left_out: int) -> list[Doubt]:
    newest = max(datetime.fromisoformat(r.created) for r in records)
    hours = (datetime.now(UTC) - newest.astimezone(UTC)).total_seconds() / 3600
    ago = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"
    if hours < 2:
        ago = f"{hours * 60:.0f} minutes"
    message = (
        f"the baseline was measured {ago} ago: whatever else changed on the machine since counts "
        "as a difference; settings that exist side by side are better compared in turns, with A: "
        "and B:"
    )
    rest = (
        [Doubt("left_out", f"{left_out} records of the file have no result")] if left_out else []
    )
    return [Doubt("not_interleaved", message), *rest]
