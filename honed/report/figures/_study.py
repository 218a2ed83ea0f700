"""What the pictures of a tuning study share: styles of its stages, texts of its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from honed.knob import Value
from honed.record import Record
from honed.report.browser import escaped
from honed.report.evidence import Evidence
from honed.report.style import Style
from honed.show.numbers import plain
from honed.study import Candidate, Goal, Setting, StudyFacts, Trial
from honed.values import UNTOUCHED, as_typed

_LONGEST = 64
_HEADS = ("backend", "precision")


def name(setting: Setting, longest: int = _LONGEST) -> str:
    """`openvino int8, threads=2 …`: the engine first, then as many keys as there is room for."""
    heads = " ".join(str(setting[k]) for k in _HEADS if k in setting)
    more = [setting_text(k, v) for k, v in setting.items() if k not in _HEADS]
    text = ", ".join(filter(None, [heads, " ".join(more)]))
    return text if len(text) <= longest else f"{text[: longest - 2].rstrip()} …"


def value_text(value: Value | None) -> str:
    """A setting's value as a label of an axis."""
    return UNTOUCHED if value is None else as_typed(value)


def setting_text(key: str, value: Value | None) -> str:
    """`threads=2`, or `threads as it comes`."""
    return f"{key} {UNTOUCHED}" if value is None else f"{key}={as_typed(value)}"


def goal_text(goal: Goal, value: float) -> str:
    return f"{plain(value)} {goal.unit}"


def trial_hover(trial: Trial, goals: Sequence[Goal]) -> str:
    """The text beside the pointer."""
    lines = [f"<b>trial {trial.number}, {escaped(trial.stage)}</b>", *_wrapped(trial.setting)]
    if trial.ok:
        lines += [goal_text(g, v) for g, v in zip(goals, trial.values, strict=True)]
    else:
        lines.append(escaped(f"{trial.status}: {trial.message}"[:100]))
    if trial.ok and not trial.feasible:
        lines.append("over a limit")
    if trial.record:
        lines.append(f"record {trial.record[:8]}")
    return "<br>".join(lines)


def candidate_hover(candidate: Candidate, goals: Sequence[Goal]) -> str:
    values = [goal_text(g, v) for g, v in zip(goals, candidate.values, strict=True)]
    ids = ", ".join(id[:8] for id in candidate.records[:4])
    return "<br>".join([*_wrapped(candidate.setting), *values, f"record {ids}"])


def _wrapped(setting: Setting) -> list[str]:
    """Four keys a line: a setting may have a dozen knobs."""
    words = setting.name.split(" ")
    return [escaped(" ".join(words[i : i + 4])) for i in range(0, len(words), 4)]


def stages(study: StudyFacts) -> Mapping[str, Style]:
    """A hue and a mark for each stage, in the order in which the stages began."""
    names = dict.fromkeys(t.stage for t in study.trials)
    return {stage: Style(i, i) for i, stage in enumerate(names)}


def records_of(evidence: Evidence, candidates: Sequence[Candidate]) -> tuple[Record, ...]:
    return evidence.stored(dict.fromkeys(id for c in candidates for id in c.records))


def best(candidates: Sequence[Candidate], goal: Goal) -> Candidate | None:
    """The best in the study's first goal, among the candidates that keep the limits."""
    feasible = [c for c in candidates if c.feasible]
    if not feasible:
        return None
    value = goal.best([c.values[0] for c in feasible])
    return next(c for c in feasible if c.values[0] == value)


def left_out(study: StudyFacts) -> str:
    """`2 without a result, 1 over a limit`; empty if there are none."""
    failed = sum(not t.ok for t in study.ended)
    over = sum(t.ok and not t.feasible for t in study.ended)
    parts = {"without a result": failed, "over a limit": over}
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count)
