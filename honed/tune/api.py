"""One study from its words, or from its name, to its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed import units
from honed.case import Case
from honed.compose import change
from honed.compose import compose as composed
from honed.errors import UsageError
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate
from honed.run.machine_lock import making_tables
from honed.store import Store, open_store
from honed.tune import profile, recipe
from honed.tune import study as studies
from honed.tune.ask import Ask, parse
from honed.tune.bench import RealBench
from honed.tune.confirm import unconfirmed
from honed.tune.derive import derive
from honed.tune.outcome import Outcome
from honed.tune.profile import Profile
from honed.tune.session import Hearers, Session
from honed.tune.study import Study
from honed.tune.trial import settings

if TYPE_CHECKING:
    import sqlalchemy as sa


# Trials of `again`: the default, the best few of the old study, and one or two beside them.
_AGAIN = 8


@dataclass(frozen=True, slots=True)
class How:
    """Where records and studies are, who listens, and what beside the words is asked."""

    store: str | None = None
    config: Path | None = None
    hearers: Hearers = field(default_factory=Hearers)
    extra: dict[str, Any] = field(default_factory=dict)
    warm: bool = True  # begin with what was best in the nearest earlier study


def new(words: Sequence[str], how: How) -> Study:
    """A study for the words; UsageError before anything is measured if they cannot be right."""
    ask = parse(words, how.config)
    ask = replace(ask, extra={**ask.extra, **how.extra})
    locate(ModelRequest.from_case(ask.base))  # a model that is wrong says so now
    with open_store(how.store) as store:
        space = derive(ask)
        if how.warm and (near := profile.nearest(store.url, ask.base)) is not None:
            warm = {"warm": [dict(p) for p in near.points], "warm_from": near.study}
            ask = replace(ask, extra={**warm, **ask.extra})
        with making_tables(store.url):
            return studies.create(store.url, ask, space)


def resumed(name: str, words: Sequence[str], how: How) -> Study:
    """A stored study; `budget=` and `trials=` may give it more, other words cannot change it."""
    with open_store(how.store) as store:
        study = studies.load(store.url, name)
    more: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key == "budget":
            more["budget_s"] = units.seconds(value)
        elif key == "trials" and value.isdigit():
            more["trials"] = int(value)
        else:
            raise UsageError(
                f"{word} would be another study", f"honed tune {word} ... as a new one"
            )
    study.ask = replace(study.ask, **more)
    return study


def again(name: str, words: Sequence[str], how: How) -> Study:
    """A new study that asks what a stored one asked, on this machine, and begins with what was
    best there; `budget=` and `trials=` replace its few trials."""
    with open_store(how.store) as store:
        old = studies.load(store.url, name)
        best = profile.named(store.url, name).points
    more = [] if _says(words, "budget", "trials") else [f"trials={_AGAIN}"]
    fresh = parse([*recipe.words(old.ask.base), *more, *words])
    if unknown := [w for w in words if not _says([w], "budget", "trials", "study")]:
        raise UsageError(f"{unknown[0]} would be another question", f"honed tune {unknown[0]} ...")
    ask = replace(
        old.ask, name=fresh.name, budget_s=fresh.budget_s, trials=fresh.trials,
        extra={**how.extra, "warm": [dict(p) for p in best], "warm_from": name},
    )  # fmt: skip
    with open_store(how.store) as store, making_tables(store.url):
        return studies.create(store.url, ask, derive(ask))


def _says(words: Sequence[str], *keys: str) -> bool:
    return any(word.partition("=")[0] in keys for word in words)


def run(study: Study, how: How) -> Outcome:
    """Search and confirm; a study that has its outcome and is given nothing more just tells it."""
    stored = outcome(study)
    if stored is not None and not _given_more(study.ask, stored):
        return stored
    with open_store(how.store) as store:
        found = Session(study, _bench(store, study, how), how.hearers).run()
        ranked = [s.point for s in settings(study.trials()) if s.feasible]
        recommended = [found.point] if found.point is not None else []
        kept = profile.profile_of(found, [*recommended, *ranked])
        if kept is not None:
            profile.keep(store.url, kept)
    return found


def outcome(study: Study) -> Outcome | None:
    """What the study found; None while it has not ended."""
    found = study.recall("outcome")
    return None if found is None else Outcome.from_json(found)


def so_far(study: Study, how: How) -> Outcome:
    """What the trials of an unfinished study say, without an interval."""
    with open_store(how.store) as store:
        return unconfirmed(Session(study, _bench(store, study, how), how.hearers), "interrupted")


def _given_more(ask: Ask, stored: Outcome) -> bool:
    if stored.ended == "interrupted":
        return True
    more_time = ask.budget_s is not None and stored.elapsed_s < 0.9 * ask.budget_s
    more_trials = ask.trials is not None and stored.trials < ask.trials
    return {"budget": more_time, "trials": more_trials}.get(stored.ended, False)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A Case by name; `differences` say what is not as it was when its study found it."""

    case: Case
    study: str | None = None
    differences: tuple[str, ...] = ()


def chosen(name: str, words: Sequence[str], store: str | None) -> Chosen:
    """What `best`, `STUDY:best`, `STUDY:default` or a record's id names.

    `words` are what is typed beside it: `best` alone is the nearest profile for their model, or
    the newest one.
    """
    with open_store(store) as opened:
        if name == "best":
            found = _nearest(words, opened.url)
        elif name.endswith(":best") and (kept := _kept(name, opened.url)) is not None:
            found = kept
        else:
            return Chosen(_stored_case(name, opened))
    asked = change(found.case, words).cases[0] if words else found.case
    return Chosen(found.case, found.study, profile.differences(found, asked))


def _kept(name: str, url: sa.URL) -> Profile | None:
    study = name.removesuffix(":best")
    return next((p for p in profile.profiles(url) if p.study == study), None)


def _nearest(words: Sequence[str], url: sa.URL) -> Profile:
    named = any(word.startswith("model=") for word in words)
    if named:
        found = profile.nearest(url, composed(words).cases[0])
    else:
        found = next(iter(profile.profiles(url)), None)
    if found is None:
        raise UsageError("no study has found anything for this model", "honed tune model=NAME")
    return found


def _stored_case(name: str, opened: Store) -> Case:
    study_name, colon, which = name.rpartition(":")
    if not colon:
        return opened.get(name).to_case()
    study = studies.load(opened.url, study_name)
    found = outcome(study)
    at = {"best": found.point if found else None, "default": study.space.default}.get(which)
    if at is None:
        hint = f"honed tune --resume {study_name}" if which == "best" else f"{study_name}:best"
        raise UsageError(f"{study_name} has no {which} to run", hint)
    return study.space.case(at)


def _bench(store: Store, study: Study, how: How) -> RealBench:
    return RealBench(store, study.name, how.hearers.waiting)
