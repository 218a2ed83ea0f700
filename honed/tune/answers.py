"""What the trials say by themselves, and what every outcome has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from honed.record import Interval, Record
from honed.tune.importance import importances
from honed.tune.outcome import FrontPoint, Nearest, Outcome, Pooled
from honed.tune.trial import Point, Setting, front, settings

if TYPE_CHECKING:
    from honed.tune.session import Session


def kept_record(session: Session, at: Point) -> Record | None:
    """A record of its trials, where none could be made anew."""
    ids = [t.record for t in session.study.trials() if t.point == at and t.ok]
    return session.bench.record(ids[0]) if ids and ids[0] else None


def with_memory(pooled: Pooled | None, record: Record | None) -> Pooled | None:
    if pooled is None or record is None or record.memory is None:
        return pooled
    peak = record.memory.rss_peak_bytes
    return pooled if peak is None else replace(pooled, memory_mib=peak / 2**20)


def plain_gain(session: Session, at: Point) -> Interval:
    """By the trials alone: no interval."""
    found = [s for s in settings(session.study.trials()) if s.ok]
    own = [s.cost for s in found if s.point == at]
    base = [s.cost for s in found if s.point == session.study.space.default]
    return Interval(base[0] / own[0]) if own and base else Interval(None)


def first_record(session: Session) -> Record | None:
    """The default's record: of the first trial, unless that one was interrupted."""
    ids = [t.record for t in session.study.trials() if t.stage == "default" and t.record]
    return session.bench.record(ids[-1]) if ids else None


def filled_in(session: Session, found: Outcome) -> Outcome:
    """Filled in with what is the same however the study ended."""
    trials = session.study.trials()
    ended = [t for t in trials if t.status not in ("running", "interrupted")]
    several = len(session.ask.objectives) > 1
    return replace(
        found,
        objectives=tuple(o.name for o in session.ask.objectives),
        elapsed_s=session.elapsed_s,
        trials=len(trials),
        failed=sum(not t.ok for t in ended),
        default=first_record(session),
        importances=importances(session.study.space, trials),
        front=tuple(
            FrontPoint(s.point, s.trials[-1].values, s.trials[-1].record)
            for s in (front(settings(trials)) if several else ())
        ),
    )


def nearest(found: Sequence[Setting]) -> Nearest | None:
    """The setting that misses its limits by the least, and the limit that it misses most."""
    able = [s for s in found if s.ok and s.missed > 0]
    if not able:
        return None
    best = able[0]
    limit = max(best.violations, key=lambda k: best.violations[k])
    return Nearest(best.point, limit, best.violations[limit], best.trials[-1].record)
