"""A stored study in the classes of `honed.report.study`; goes when the report reads
`honed.study.StudyFacts` (from `honed.tune.api.stored_facts`)."""

from __future__ import annotations

from honed.report.study import Gained, Goal, Side, StudyFacts, Tried
from honed.study import Setting
from honed.study import Side as StudySide
from honed.study import StudyFacts as Facts
from honed.tune import api


def stored(name: str, store: str | None = None) -> StudyFacts:
    """A stored study by its name, or the "last" one; UsageError if there is none."""
    return drawn(api.stored_facts(name, store))


def drawn(facts: Facts) -> StudyFacts:
    return StudyFacts(
        facts.name,
        tuple(Goal(g.name, g.unit, g.better) for g in facts.goals),
        tuple(
            Tried(
                t.number, t.stage, t.setting.name, facts.whole(t.setting), t.status,
                t.values if t.ok else (), t.feasible, t.record, t.message,
            )
            for t in facts.trials
        ),
        {key: axis.values for key, axis in facts.axes.items()},
        facts.headline,
        facts.limits,
        facts.importances,
        _side(facts.default),
        _side(facts.best),
        facts.gain,
        tuple(
            Gained(Setting({e.key: e.value}).name, e.gain, e.kept, e.why) for e in facts.earned
        ),
    )  # fmt: skip


def _side(side: StudySide | None) -> Side | None:
    return None if side is None else Side(side.setting.name, side.records)
