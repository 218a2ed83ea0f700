"""Every setting that was tried as a line through its values, down to its result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from honed.knob import Value
from honed.report.evidence import Evidence
from honed.report.figures import _study
from honed.report.figures.base import Picture, titled
from honed.report.findings import listed
from honed.report.panels.parallel import Bundle, Parallel, Rail, Way
from honed.report.panels.ticks import scale_for
from honed.report.style import Style
from honed.show.numbers import plain
from honed.study import Candidate, Goal, StudyFacts

ORDER = 5
_MOST_RAILS = 7
_FEWEST = 5  # settings; fewer are easier to read in the table
_KINDS = (
    ("the rest", Style(6, 0), 1.0), ("over a limit", Style(3, 2), 1.0),
    ("best quarter", Style(0, 0), 2.0), ("the best", Style(1, 0), 3.5),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """A candidate with the value of every key that its engine has; None: untouched."""

    candidate: Candidate
    values: Mapping[str, Value | None]


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or len(study.candidates) < _FEWEST:
        return
    tried = [_Tried(c, study.whole(c.setting)) for c in study.candidates]
    varying = _varying(study, tried)
    keys = _most_important(study, varying)
    if not keys:
        return
    kinds = _kinds(study.goals[0], tried)
    notes = ["A line is a setting; it passes by a knob that its engine does not have."]
    if left := len(varying) - len(keys):
        notes.append(f"The {len(keys)} keys that mattered most; {left} more were searched.")
    yield Picture(
        titled("Settings as lines", study.name), _sentence(kinds, keys),
        (_panel(study, kinds, keys),), _study.records_of(evidence, study.candidates),
        tuple(notes), marked=False,
    )  # fmt: skip


def _varying(study: StudyFacts, tried: Sequence[_Tried]) -> dict[str, int]:
    """The keys with several values, each with the number of settings that have it."""
    counts: dict[str, int] = {}
    for key in study.axes:
        values = [t.values[key] for t in tried if key in t.values]
        if len(set(values)) > 1:
            counts[key] = len(values)
    return counts


def _most_important(study: StudyFacts, varying: Mapping[str, int]) -> list[str]:
    """Engine and precision, then what mattered most, or what most settings have."""

    def weight(key: str) -> tuple[bool, float, int]:
        head = key in ("backend", "precision")
        return head, study.importances.get(key, 0.0), varying[key]

    kept = sorted(varying, key=weight, reverse=True)[:_MOST_RAILS]
    return [key for key in study.axes if key in kept]


def _kinds(goal: Goal, tried: Sequence[_Tried]) -> dict[str, list[_Tried]]:
    feasible = [t for t in tried if t.candidate.feasible]
    feasible.sort(key=lambda t: t.candidate.values[0], reverse=goal.better == "more")
    quarter = math.ceil(len(feasible) / 4)
    return {
        "the best": feasible[:1],
        "best quarter": feasible[1:quarter],
        "the rest": feasible[quarter:],
        "over a limit": [t for t in tried if not t.candidate.feasible],
    }


def _panel(study: StudyFacts, kinds: Mapping[str, list[_Tried]], keys: Sequence[str]) -> Parallel:
    """A rail for each key, and a last one for the first goal."""
    goal = study.goals[0]
    tried = [t for same in kinds.values() for t in same]
    places: dict[str, dict[Value | None, float]] = {}
    for key in keys:
        seen = {t.values[key] for t in tried if key in t.values}
        values = [v for v in study.axes[key].values if v in seen]
        places[key] = {v: (i + 0.5) / len(values) for i, v in enumerate(values)}
    results = sorted(t.candidate.values[0] for t in tried)
    scale = scale_for(results)
    ticks = scale.ticks or [results[0] + (results[-1] - results[0]) * i / 4 for i in range(5)]
    result_ticks = {plain(tick, 2 if scale.log else 3): scale.share(tick) for tick in ticks}

    def way(of: _Tried) -> Way:
        stops = [places[k][of.values[k]] if k in of.values else None for k in keys]
        text = _study.candidate_hover(of.candidate, study.goals)
        return Way((*stops, scale.share(of.candidate.values[0])), text)

    rails = [
        Rail(key, tuple((x, _study.value_text(v)) for v, x in places[key].items())) for key in keys
    ]
    rails.append(Rail(goal.title, tuple((x, text) for text, x in result_ticks.items())))
    bundles = (Bundle(kind, style, tuple(map(way, kinds[kind])), w) for kind, style, w in _KINDS)
    title = f"From the setting to the {goal.name}"
    return Parallel(title, tuple(rails), tuple(b for b in bundles if b.ways))


def _sentence(kinds: Mapping[str, list[_Tried]], keys: Sequence[str]) -> str:
    count = sum(map(len, kinds.values()))
    good = [*kinds["the best"], *kinds["best quarter"]]
    if not good:
        return f"None of {count} settings keeps every limit."
    best = good[0]
    rest = [*kinds["the rest"], *kinds["over a limit"]]
    shared = [
        _study.setting_text(key, best.values[key])
        for key in keys
        if key in best.values
        and all(key in t.values and t.values[key] == best.values[key] for t in good)
        and any(t.values.get(key) != best.values[key] for t in rest)
    ]
    finding = f"The best of {count} settings: {_study.name(best.candidate.setting)}"
    if len(good) < 2:
        return f"{finding}."
    if not shared:
        return f"{finding}. The best {len(good)} share no value that others lack."
    return f"{finding}. The best {len(good)} all have {listed(shared)}."
