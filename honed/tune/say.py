"""An outcome in words: before and after, the steps, why nothing is recommended."""

from __future__ import annotations

import math
from collections.abc import Sequence

from honed.knob import Value
from honed.measures import COMPARED
from honed.record import Interval, Record
from honed.study import Outcome, Pooled, Setting
from honed.tune.question import Question
from honed.values import UNTOUCHED, as_typed, typed_words


def headline(outcome: Outcome, question: Question) -> str:
    """`6.2 → 31.4 sequences/s, 5.1x (4.9 to 5.2), p99 171 → 36 ms, cosine 0.9993`."""
    if outcome.best is None or outcome.point is None:
        return nothing(outcome)
    if outcome.gain.value == 1.0 and outcome.gain.ci95 is None:
        return _unchanged(outcome)
    measure = question.measures[0]
    before, after = outcome.default_pooled, outcome.best_pooled
    values = [measure.shown(r) if r else None for r in (outcome.default, outcome.best)]
    in_turns = before and after and before.value and after.value
    if before and after and in_turns and measure.name in COMPARED:
        values = [before.value, after.value]
    parts = [_change(values, measure.shown_unit), gain(outcome.gain)]
    if before and after and before.latency_p99_ms and after.latency_p99_ms:
        parts.append(f"p99 {_change([before.latency_p99_ms, after.latency_p99_ms], 'ms')}")
    memory = [_memory_mib(before, outcome.default), _memory_mib(after, outcome.best)]
    if None not in memory and measure.name != "memory":
        parts.append(f"memory {_change(memory, 'MiB')}")
    if outcome.best.fidelity is not None:
        parts.append(f"cosine {_cosine(outcome.best.fidelity.cosine_min)}")
    return ", ".join(p for p in parts if p)


def _cosine(value: float) -> str:
    """Rounded down, so that 1.0000 stands only for equal outputs."""
    return f"{math.floor(value * 1e4 + 1e-6) / 1e4:.4f}"


def _memory_mib(pooled: Pooled | None, record: Record | None) -> float | None:
    if pooled is not None and pooled.memory_mib is not None:
        return pooled.memory_mib
    peak_bytes = record.memory.rss_peak_bytes if record and record.memory else None
    return None if peak_bytes is None else peak_bytes / 2**20


def gain(interval: Interval) -> str:
    """`5.1x (4.9 to 5.2)`."""
    if interval.value is None:
        return ""
    shown = f"{interval.value:.2f}x" if interval.value < 10 else f"{interval.value:.1f}x"
    if interval.ci95 is None:
        return shown
    return f"{shown} ({interval.ci95[0]:.2f} to {interval.ci95[1]:.2f})"


def _change(values: Sequence[float | None], unit: str) -> str:
    before, after = map(_number, values)
    return f"{before} → {after} {unit}"


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _unchanged(outcome: Outcome) -> str:
    """Why the default is recommended."""
    if outcome.trials == 1:
        return "only the default was tried, so nothing is known to be better"
    if outcome.dropped:
        return "no setting was proven to be better than the default: nothing to change"
    return "the default is the best setting of all that were tried: nothing to change"


def nothing(outcome: Outcome) -> str:
    """Why there is no recommendation."""
    nearest, default = outcome.nearest, outcome.default
    if nearest is not None:
        share = nearest.missed_by
        missed = f"{share * 100:.3g} %" if share < 1 else f"a factor of {1 + share:,.1f}"
        return (
            f"no setting keeps every limit; the closest is {nearest.point.name}, which misses "
            f"{nearest.limit} by {missed}"
        )
    why = ""
    if default is not None and default.error is not None and default.error.message:
        why = f": the default is {default.status}: {default.error.message}"
    return f"no setting gave a result that may be recommended{why}"


def counted(trials: int) -> str:
    return "1 trial" if trials == 1 else f"{trials} trials"


def steps(outcome: Outcome) -> list[tuple[str, str, str, str]]:
    """A row for each step to the recommendation: the key, the old and the new value, the gain, and
    what it was measured with."""
    return [
        (s.key, f"{_before(outcome, s.key)} → {value(s.value)}", gain(s.gain), s.source)
        for s in outcome.steps
    ]


def dropped(outcome: Outcome) -> str:
    """`threads=2 1.01x (0.96 to 1.07), allocator=jemalloc 0.99x`; empty without such steps. An
    interval above 1 that did not suffice is explained."""
    listed = ", ".join(f"{s.name} {gain(s.gain)}" for s in outcome.dropped)
    if any(s.gain.ci95 is not None and s.gain.ci95[0] > 1 for s in outcome.dropped):
        listed += (
            " (where several steps are judged at once, 95 % certainty for one of them is too "
            "little: noise would often lift some step above 1)"
        )
    return listed


def value(of: Value | None) -> str:
    """The value of a step; a key that the step sets back is as it comes."""
    return UNTOUCHED if of is None else as_typed(of)


def _before(outcome: Outcome, key: str) -> str:
    """The default's values of the keys of a step. An engine's knob is none of another engine's."""
    case = outcome.default.case if outcome.default else {}
    return "+".join(value(case.get(each)) for each in key.split("+"))


def beside(setting: Setting, best: Setting | None) -> str:
    """What differs from the best setting so far; the whole setting where the engine or the
    precision differs."""
    if best is None or setting.branch != best.branch:
        return setting.name
    if setting == best:
        return "the best again"
    changed = typed_words({k: v for k, v in setting.items() if best.get(k) != v})
    left_out = [key for key in best if key not in setting]
    differences = [f"with {' '.join(changed)}"] if changed else []
    differences += [f"without {', '.join(left_out)}"] if left_out else []
    return f"the best, {', '.join(differences)}"


def importances(outcome: Outcome, count: int = 5) -> str:
    """`backend 52 %, precision 31 %; not told apart from noise: threads, allocator`."""
    shares = [(k, v) for k, v in outcome.importances.items() if v is not None and v >= 0.01]
    unknown = [key for key, share in outcome.importances.items() if share is None]
    parts = [", ".join(f"{key} {share:.0%}" for key, share in shares[:count])] if shares else []
    parts += [f"not told apart from noise: {', '.join(unknown)}"] if unknown else []
    return "; ".join(parts)
