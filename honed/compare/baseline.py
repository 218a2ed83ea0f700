"""Old numbers from a file of records: their Cases, measured now, beside what was measured then.

Nobody can interleave with the past. What is left is two independent groups of processes, and the
assumption that the machine is as it was; both are said with every verdict.
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
from honed.compare.outcome import Comparison, Contrast, Ended, Metric, Side, contrast, log_time
from honed.compare.say import interval
from honed.compare.session import How, Session, TrialFailed
from honed.compare.settings import differing
from honed.compose import change
from honed.errors import UsageError
from honed.machine.facts import machine_facts
from honed.record import Doubt, Interval, Record
from honed.run.sweep import label
from honed.statistics import paired
from honed.store import open_store

_LEAST_NEW = 5  # processes measured now, however few the file has


@dataclass(frozen=True, slots=True)
class Group:
    """A Case of the file: what to measure now, and its records of then, one process each."""

    label: str
    case: Case
    records: tuple[Record, ...]

    def then(self, metric: Metric) -> list[float]:
        """The old processes' medians (or rates)."""
        found = [r.metrics for r in self.records if r.metrics is not None]
        if metric == "latency":
            return [m.latency_s.p50 for m in found]
        return [m.throughput_per_s.value for m in found if m.throughput_per_s.value]


def compare_with(path: Path, words: Sequence[str], how: How) -> Comparison:
    """Measure each Case of the file now, with `words` changed, as often as the file has it.

    One look at the end, so no verdict profits from looking early; the 5 % are shared out evenly
    over the Cases. A Case that the file has too few records of is undecided and not measured.
    """
    metric = how.metric
    records, left_out = read(path)
    groups = grouped(records, words)
    speaking = {g.label: g for g in groups if _why_not(g, metric) is None}
    with open_store(how.store) as store:
        session = Session({g.label: g.case for g in groups}, how, store)
        now: dict[str, list[float]] = {name: [] for name in speaking}
        ended: Ended = "decided"
        try:
            for name, block in _order(speaking, session.seed):
                if session.elapsed_s + session.mean_trial_s > how.budget_s:
                    ended = "budget"
                    break
                now[name].append(session.draw(name, block))
            session.read_sentinel()
        except TrialFailed as failed:
            return session.comparison("failed", failed.failure)
        except KeyboardInterrupt:
            ended = "interrupted"
        session.contrasts = tuple(_contrast(g, now.get(g.label, []), groups, how) for g in groups)
        found = session.comparison(ended)
    pairs = zip(groups, found.sides, strict=True)
    sides = tuple(side for group, now_side in pairs for side in _sides(group, now_side, metric))
    return dataclasses.replace(
        found, sides=sides, doubts=(*_doubts(records, left_out), *found.doubts)
    )


def read(path: Path) -> tuple[list[Record], int]:
    """The file's finished records, each once, and how many others it holds."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
            "write one with honed export --out main.jsonl",
        ) from None
    found: dict[str, Record] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            record = _parsed(path, number, line)
            found[record.id] = record
    good = [r for r in found.values() if r.ok and r.metrics is not None]
    if not good:
        raise UsageError(
            f"{path} holds no finished record", "honed export --out main.jsonl writes some"
        )
    return good, len(found) - len(good)


def grouped(records: Sequence[Record], words: Sequence[str]) -> list[Group]:
    """The file's Cases in its order, changed by `words`, with names that tell them apart."""
    by_case: dict[Case, list[Record]] = {}
    for record in records:
        by_case.setdefault(record.to_case(), []).append(record)
    varying = tuple(
        dict.fromkeys(k for d in differing({c.id: c for c in by_case}).values() for k in d)
    )
    groups = []
    for case, own in by_case.items():
        cases = change(case, words).cases
        if len(cases) > 1:
            raise UsageError("each Case of the file is measured once", "give single values")
        groups.append(Group(label(case, varying), cases[0], tuple(own)))
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
    """Why the file cannot speak for this Case here; None if it can."""
    count = len(group.then(metric))
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


def _contrast(group: Group, now: Sequence[float], groups: Sequence[Group], how: How) -> Contrast:
    names = (group.label, "the baseline")
    why = _why_not(group, how.metric)
    then = [log_time(v, how.metric) for v in group.then(how.metric)]
    if why is None and not now:
        why = "the budget or Ctrl-C came first"
    if why is not None:
        return Contrast(*names, "undecided", Interval(None), 0, reason=why)
    estimate = paired.old_and_new(then, now, paired.ALPHA / len(groups))
    judgement = paired.Judgement(how.question.answer(estimate), estimate)
    found = contrast(names, judgement, how.metric, math.inf)
    if found.verdict != "undecided":
        return found
    shown = f"{interval(found.ratio)} from {len(then)} processes then and {len(now)} now"
    advice = "more records of it in the file would narrow it"
    return dataclasses.replace(found, reason=f"{shown}: {advice}")


def _sides(group: Group, now: Side, metric: Metric) -> tuple[Side, Side]:
    """Then and now, each with what sets it apart from the other."""
    old = group.records[0].to_case()
    differs = differing({"then": old, "now": group.case})
    values = group.then(metric)
    cosines = [r.fidelity.cosine_min for r in group.records if r.fidelity is not None]
    then = Side(
        label=f"{group.label} (baseline)",
        case=old.to_json(),
        differs=differs["then"],
        trials=len(values),
        median=float(np.median(values)) if values else None,
        cosine_min=min(cosines, default=None),
        records=tuple(r.id for r in group.records),
    )
    return then, dataclasses.replace(now, differs=differs["now"])


def _doubts(records: Sequence[Record], left_out: int) -> list[Doubt]:
    newest = max(datetime.fromisoformat(r.created) for r in records)
    hours = (datetime.now(UTC) - newest.astimezone(UTC)).total_seconds() / 3600
    ago = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"
    if hours < 2:
        ago = f"{hours * 60:.0f} minutes"
    found = [
        Doubt(
            "not_interleaved",
            f"the baseline was measured {ago} ago: whatever else changed on the machine since "
            "counts as a difference; settings that exist side by side are better compared in "
            "turns, with A: and B:",
        )
    ]
    if left_out:
        found.append(Doubt("left_out", f"{left_out} records of the file have no result"))
    return found
