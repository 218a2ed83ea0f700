"""Every setting that was tried as a line through its values, down to what came out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from honed.knob import Value
from honed.report.evidence import Evidence
from honed.report.figures import _study
from honed.report.figures.base import Picture, titled
from honed.report.findings import listed
from honed.report.panels.parallel import Bundle, Parallel, Rail, Way
from honed.report.panels.ticks import scale_for
from honed.report.study import Goal, Spot, StudyFacts, setting_word, value_word
from honed.report.style import Style
from honed.show.numbers import plain

ORDER = 5
Meet = Callable[[Spot], "float | None"]
_MOST_RAILS = 7
_FEWEST = 5  # settings; fewer are read better in the table
_KINDS = (
    ("the rest", Style(6, 0), 1.0),
    ("over a limit", Style(3, 2), 1.0),
    ("best quarter", Style(0, 0), 2.0),
    ("the best", Style(1, 0), 3.5),
)


def pictures(evidence: Evidence) -> Iterator[Picture]:
    study = evidence.study
    if study is None or len(study.spots) < _FEWEST:
        return
    keys = chosen_keys(study, _MOST_RAILS)
    if not keys:
        return
    kinds = _kinds(study)
    rails, meets = _rails(study, keys)
    bundles = tuple(
        Bundle(label, style, tuple(
            Way(tuple(meet(s) for meet in meets), _study.spot_text(s, study.goals))
            for s in kinds[label]), width)
        for label, style, width in _KINDS if kinds[label]
    )  # fmt: skip
    left = len(_varying(study)) - len(keys)
    notes = ["A line is a setting; it passes by a knob that its engine does not have."]
    if left:
        notes.append(f"The {len(keys)} keys that mattered most; {left} more were searched.")
    yield Picture(
        titled("Settings as lines", study.name),
        _sentence(study, kinds, keys),
        (Parallel(f"From the setting to the {study.goals[0].name}", rails, bundles),),
        _study.records_of(evidence, study.spots),
        tuple(notes),
        marked=False,
    )


def chosen_keys(study: StudyFacts, most: int) -> list[str]:
    """Engine and precision, then what mattered most, or has the most values among the settings."""
    found = _varying(study)

    def weight(key: str) -> tuple[bool, float, int]:
        head = key in ("backend", "precision")
        return head, study.importances.get(key, 0.0), found[key]

    kept = sorted(found, key=weight, reverse=True)[:most]
    return [k for k in study.axes if k in kept]


def _varying(study: StudyFacts) -> dict[str, int]:
    """Keys with several values among the settings that have them, and how many settings do."""
    found: dict[str, int] = {}
    for key in study.axes:
        own = [s.point[key] for s in study.spots if key in s.point]
        if len(set(own)) > 1:
            found[key] = len(own)
    return found


def _kinds(study: StudyFacts) -> dict[str, list[Spot]]:
    goal = study.goals[0]
    able = [s for s in study.spots if s.feasible]
    able.sort(key=lambda s: s.values[0], reverse=goal.better == "more")
    quarter = math.ceil(len(able) / 4)
    return {
        "the best": able[:1],
        "best quarter": able[1:quarter],
        "the rest": able[quarter:] if able else [],
        "over a limit": [s for s in study.spots if not s.feasible],
    }


def _rails(study: StudyFacts, keys: Sequence[str]) -> tuple[tuple[Rail, ...], list[Meet]]:
    rails, meets = [], []
    for key in keys:
        seen = {s.point[key] for s in study.spots if key in s.point}
        values = [v for v in study.axes[key] if v in seen]
        rails.append(Rail(key, tuple((_place(i, values), value_word(v))
                                     for i, v in enumerate(values))))  # fmt: skip
        meets.append(_meet(key, values))
    rail, meet = _outcome(study.goals[0], [s.values[0] for s in study.spots])
    return (*rails, rail), [*meets, meet]


def _place(index: int, values: Sequence[object]) -> float:
    return (index + 0.5) / len(values)


def _meet(key: str, values: list[Value | None]) -> Meet:
    return lambda s: _place(values.index(s.point[key]), values) if key in s.point else None


def _outcome(goal: Goal, values: Sequence[float]) -> tuple[Rail, Meet]:
    """The last rail is of numbers, logarithmic where they span much."""
    known = sorted(values)
    scale = scale_for(known)
    marks = scale.ticks or [known[0] + (known[-1] - known[0]) * i / 4 for i in range(5)]
    shown = {plain(mark, 2 if scale.log else 3): scale.share(mark) for mark in marks}
    rail = Rail(goal.title, tuple((x, text) for text, x in shown.items()))
    return rail, lambda s: scale.share(s.values[0])


def _sentence(study: StudyFacts, kinds: dict[str, list[Spot]], keys: Sequence[str]) -> str:
    good = [*kinds["the best"], *kinds["best quarter"]]
    if not good:
        return f"None of {len(study.spots)} settings keeps every limit."
    rest = [s for s in study.spots if s not in good]
    shared = [
        setting_word(key, good[0].point[key])
        for key in keys
        if all(key in s.point and s.point[key] == good[0].point.get(key) for s in good)
        and any(s.point.get(key) != good[0].point[key] for s in rest)
    ]
    top = f"The best of {len(study.spots)} settings: {_study.name(good[0].point)}"
    if len(good) < 2:
        return f"{top}."
    if not shared:
        return f"{top}. The best {len(good)} share no value that others lack."
    return f"{top}. The best {len(good)} all have {listed(shared)}."
