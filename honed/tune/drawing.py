"""A stored study as the data that a report reads."""

from __future__ import annotations

from dataclasses import replace

from honed.errors import UsageError
from honed.plain import from_plain
from honed.store import open_store
from honed.study import Axis, Goal, Setting, StudyFacts, Trial
from honed.study import Outcome as StudyOutcome
from honed.tune import api, say
from honed.tune import study as studies
from honed.tune.importance import importances
from honed.tune.outcome import Outcome
from honed.tune.space import axes
from honed.tune.study import Study


def stored(name: str, store: str | None = None) -> StudyFacts:
    """A stored study by its name, or the "last" one; UsageError if there is none."""
    with open_store(store, make=False) as opened:
        url = opened.url
    if name == "last":
        known = studies.names(url)
        if not known:
            raise UsageError("there is no study yet", "honed tune model=NAME makes one")
        name = known[-1]
    study = studies.load(url, name)
    return facts(study, api.outcome(study))


def facts(study: Study, outcome: Outcome | None) -> StudyFacts:
    """`outcome` None: the study has not ended, and there is no recommendation to draw."""
    trials = study.trials()
    dimensions = {d.key: d for d in study.space.dimensions}
    searched = {}
    for key, values in axes(study.space).items():
        # A knob that an engine fixes may lie outside of what was asked for.
        more = dict.fromkeys(v for t in trials if (v := t.point.get(key)) not in values)
        axis = Axis(key, (*values, *more))
        if at := dimensions.get(key):
            axis = replace(axis, start=at.start, owner=at.owner)
        searched[key] = axis
    return StudyFacts(
        study.name,
        tuple(Goal(o.name, o.unit, o.better) for o in study.ask.objectives),
        tuple(
            Trial(
                t.number, t.stage, Setting(t.point), t.status, t.record, t.values, t.costs,
                t.violations, t.elapsed_s, t.message,
            )
            for t in trials
        ),
        searched,
        Setting(study.space.default),
        tuple(str(limit) for limit in study.ask.limits),
        dict(outcome.importances if outcome else importances(study.space, trials)),
        from_plain(StudyOutcome, outcome.to_json()) if outcome else None,
        say.headline(outcome, study.ask.price_per_h) if outcome else "",
    )  # fmt: skip
