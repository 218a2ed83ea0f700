"""A study as what a report draws of it."""

from __future__ import annotations

from typing import Any

from honed.errors import UsageError
from honed.knob import Value
from honed.report.study import Gained, Goal, Side, StudyFacts, Tried
from honed.store import open_store
from honed.tune import api, say
from honed.tune import study as studies
from honed.tune.importance import importances
from honed.tune.outcome import Outcome, Pooled
from honed.tune.space import axes
from honed.tune.study import Study
from honed.tune.trial import Point, Trial
from honed.tune.trial import words as typed


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


def facts(study: Study, found: Outcome | None) -> StudyFacts:
    """`found` None: the study has not ended, and there is no recommendation to draw."""
    trials = study.trials()
    # A knob that an engine fixes may lie outside of what was asked for.
    searched = {
        key: (*values, *dict.fromkeys(v for t in trials if (v := t.point.get(key)) not in values))
        for key, values in axes(study.space).items()
    }
    shares = found.importances if found else importances(study.space, trials)
    return StudyFacts(
        study.name,
        tuple(Goal(o.name, o.unit, o.better) for o in study.ask.objectives),
        tuple(_tried(study, t) for t in trials),
        searched,
        say.headline(found, study.ask.price_per_h) if found else "",
        tuple(str(limit) for limit in study.ask.limits),
        dict(shares),
        **_ends(study, found) if found else {},
    )


def _tried(study: Study, trial: Trial) -> Tried:
    return Tried(
        trial.number,
        trial.stage,
        trial.setting,
        _whole(study, trial.point),
        trial.status,
        trial.values if trial.ok else (),
        trial.feasible,
        trial.record,
        trial.message,
    )


def _whole(study: Study, at: Point) -> dict[str, Value | None]:
    """What a point leaves out stands for the start of its dimension, if its engine has it."""
    own = {"", str(at["backend"])}
    starts = {d.key: d.start for d in study.space.dimensions if d.owner in own}
    return {**starts, **at}


def _ends(study: Study, found: Outcome) -> dict[str, Any]:
    default, best = found.default, found.best
    before = _records(found.default_pooled) or ((default.id,) if default else ())
    after = _records(found.best_pooled) or ((best.id,) if best else ())
    kept = found.point is not None and bool(after)
    return {
        "default": Side(_setting(study.space.default), before) if before else None,
        "best": Side(_setting(found.point), after) if found.point is not None and kept else None,
        "gain": found.gain,
        "earned": tuple(
            Gained(_setting({e.key: e.value}), e.gain, e.kept, e.why) for e in found.earned
        ),
    }


def _records(side: Pooled | None) -> tuple[str, ...]:
    return side.records if side else ()


def _setting(at: Point) -> str:
    return " ".join(typed(at))
