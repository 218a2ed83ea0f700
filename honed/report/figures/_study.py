"""What the pictures of a tuning study share: styles of its stages, words of its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from honed.knob import Value
from honed.record import Record
from honed.report.browser import escaped
from honed.report.evidence import Evidence
from honed.report.study import Goal, Spot, StudyFacts, Tried, setting_word
from honed.report.style import Style
from honed.show.numbers import plain

_LONGEST = 64
_HEADS = ("backend", "precision")


def name(point: Mapping[str, Value | None], longest: int = _LONGEST) -> str:
    """`openvino int8, threads=2 …`: the engine first, as much of the rest as there is room for."""
    heads = " ".join(str(point[k]) for k in _HEADS if point.get(k) is not None)
    more = [setting_word(k, v) for k, v in point.items() if k not in _HEADS and v is not None]
    text = ", ".join(filter(None, [heads, " ".join(more)]))
    return text if len(text) <= longest else f"{text[: longest - 2].rstrip()} …"


def value(goal: Goal, at: float) -> str:
    return f"{plain(at)} {goal.unit}"


def trial_text(trial: Tried, goals: Sequence[Goal]) -> str:
    """What the pointer reads."""
    told = [value(g, v) for g, v in zip(goals, trial.values, strict=False)]
    lines = [f"<b>trial {trial.number}, {escaped(trial.stage)}</b>", *_wrapped(trial.setting)]
    lines += told or [escaped(f"{trial.status}: {trial.message}"[:100])]
    if told and not trial.feasible:
        lines.append("over a limit")
    return "<br>".join([*lines, *([f"record {trial.record[:8]}"] if trial.record else [])])


def spot_text(spot: Spot, goals: Sequence[Goal]) -> str:
    told = [value(g, v) for g, v in zip(goals, spot.values, strict=True)]
    ids = ", ".join(id[:8] for id in spot.records[:4])
    return "<br>".join([*_wrapped(spot.setting), *told, f"record {ids}"])


def _wrapped(setting: str) -> list[str]:
    """A setting may have a dozen knobs."""
    words = setting.split(" ")
    return [escaped(" ".join(words[i : i + 4])) for i in range(0, len(words), 4)]


def stages(study: StudyFacts) -> Mapping[str, Style]:
    """A hue and a mark for each stage, in the order that they came in."""
    found = dict.fromkeys(t.stage for t in study.trials)
    return {stage: Style(i, i) for i, stage in enumerate(found)}


def records_of(evidence: Evidence, spots: Sequence[Spot]) -> tuple[Record, ...]:
    ids = dict.fromkeys(id for s in spots for id in s.records)
    return tuple(evidence.by_id[id] for id in ids if id in evidence.by_id)


def best(spots: Sequence[Spot], goal: int, of: Goal) -> Spot | None:
    """Of those that keep the limits."""
    able = [s for s in spots if s.feasible]
    if not able:
        return None
    top = of.best([s.values[goal] for s in able])
    return next(s for s in able if s.values[goal] == top)


def left_out(study: StudyFacts) -> str:
    """`2 trials without a result, 1 over a limit`; empty if there are none."""
    failed = sum(not t.values for t in study.ended)
    over = sum(bool(t.values) and not t.feasible for t in study.ended)
    parts = [
        f"{failed} without a result" if failed else "",
        f"{over} over a limit" if over else "",
    ]
    return ", ".join(filter(None, parts))
