"""An outcome in words: before and after, what earned it, what stands in the way."""

from __future__ import annotations

from honed.record import Interval, Record
from honed.tune import objective as objectives
from honed.tune.outcome import Earned, Nearest, Outcome, Pooled
from honed.tune.trial import words as typed


def headline(of: Outcome, price_per_h: float | None = None) -> str:
    """`6.2 → 31.4 sequences/s, 5.1x (4.9 to 5.2), p99 171 → 36 ms, cosine 0.9993`."""
    if of.best is None or of.point is None:
        return nothing(of)
    if of.gain.value == 1.0 and of.gain.ci95 is None:
        return "the default is the best that was found: nothing to change"
    wanted = objectives.OBJECTIVES[of.objectives[0]]
    before, after = of.default_pooled, of.best_pooled
    was, now = _values(of, price_per_h)
    parts = [_change(was, now, wanted.unit), gain(of.gain)]
    if before and after and before.latency_p99_ms and after.latency_p99_ms:
        parts.append(f"p99 {_change(before.latency_p99_ms, after.latency_p99_ms, 'ms')}")
    held, holds = _memory(before, of.default), _memory(after, of.best)
    if held is not None and holds is not None:
        parts.append(f"memory {_change(held, holds, 'MiB')}")
    if of.best.fidelity is not None:
        parts.append(f"cosine {of.best.fidelity.cosine_min:.4f}")
    return ", ".join(p for p in parts if p)


def _values(of: Outcome, price_per_h: float | None) -> tuple[float | None, float | None]:
    """The first objective's before and after: over the interleaved processes where they say it."""
    wanted = objectives.OBJECTIVES[of.objectives[0]]
    before, after = of.default_pooled, of.best_pooled
    if before and after and before.value and after.value and wanted.name in _POOLED:
        return before.value, after.value
    read = [wanted.read(r, price_per_h) if r else None for r in (of.default, of.best)]
    return read[0], read[1]


_POOLED = ("latency", "throughput")


def _memory(pooled: Pooled | None, record: Record | None) -> float | None:
    if pooled is not None and pooled.memory_mib is not None:
        return pooled.memory_mib
    found = record.memory.rss_peak_bytes if record and record.memory else None
    return None if found is None else found / objectives.MIB


def gain(of: Interval) -> str:
    """`5.1x (4.9 to 5.2)`."""
    if of.value is None:
        return ""
    shown = f"{of.value:.2f}x" if of.value < 10 else f"{of.value:.1f}x"
    return shown if of.ci95 is None else f"{shown} ({of.ci95[0]:.2f} to {of.ci95[1]:.2f})"


def _change(before: float | None, after: float | None, unit: str) -> str:
    return f"{_number(before)} → {_number(after)} {unit}"


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def nothing(of: Outcome) -> str:
    """Why there is no recommendation."""
    at = of.nearest
    if at is None:
        first = of.default
        told = first.error.message if first is not None and first.error is not None else ""
        why = f": the default is {first.status}: {told}" if first is not None and told else ""
        return f"no setting gave a result that may be recommended{why}"
    return (
        f"no setting keeps every limit; the closest is {' '.join(typed(at.point))}, which misses "
        f"{at.limit} by {_percent(at)}"
    )


def _percent(at: Nearest) -> str:
    return f"{at.missed_by * 100:.3g} %"


def earned(of: Outcome) -> list[str]:
    """A line a knob of the winner, the most gaining first."""
    order = sorted(of.earned, key=lambda e: -(e.gain.value or 0.0))
    return [_earned(e) for e in order]


def _earned(of: Earned) -> str:
    setting = f"{of.key}={str(of.value).lower() if isinstance(of.value, bool) else of.value}"
    if of.gain.value is None:
        return f"{setting}: {'' if of.kept else 'dropped, '}not measured alone ({of.why})"
    if of.kept:
        return f"{setting}: {gain(of.gain)}" + (f" ({of.why})" if of.why else "")
    return f"{setting}: dropped, its gain is inside the noise: {gain(of.gain)}"


def importances(of: Outcome, count: int = 5) -> str:
    """`backend 52 %, precision 31 %, threads 9 %`."""
    found = list(of.importances.items())[:count]
    return ", ".join(f"{k} {v:.0%}" for k, v in found if v >= 0.01)
