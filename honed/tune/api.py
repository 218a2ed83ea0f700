"""One study from its words, or from its name, to its outcome."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed import units
from honed.case import Case
from honed.compose import change, compose
from honed.errors import StoreError, UsageError
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate
from honed.run.lab import LocalLab
from honed.run.machine_lock import making_tables
from honed.run.served import Clients, ServedLab
from honed.store import Store, open_store
from honed.study import Axis, Goal, Outcome, Setting, StudyFacts, candidates
from honed.tune import profile, recipe, say, storage
from honed.tune.build_space import build_space
from honed.tune.confirm import confirm
from honed.tune.context import Listeners, StudyContext
from honed.tune.importance import importances
from honed.tune.outcome import unconfirmed
from honed.tune.policy import POLICY
from honed.tune.profile import Profile
from honed.tune.question import Question, parse
from honed.tune.search import search
from honed.tune.storage import Study

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """Store URL, config file, callbacks, and options that did not come as KEY=VALUE words."""

    store: str | None = None
    config: Path | None = None
    listeners: Listeners = field(default_factory=Listeners)
    extra: dict[str, Any] = field(default_factory=dict)
    warm: bool = True  # begin with the best settings of the nearest earlier study


def new(words: Sequence[str], options: TuneOptions) -> Study:
    """A study for the words; UsageError before anything is measured if one is wrong."""
    # A brute force that ended before its last point would not be one.
    is_brute_force = options.extra.get("planner") == "exhaustive"
    question = parse(words, options.config, None if is_brute_force else POLICY.budget_s)
    checkpoint = locate(ModelRequest.from_case(question.base))  # a wrong model is reported now
    if checkpoint is not None and checkpoint.engine_files is not None:
        raise UsageError(
            f"{question.base.model} is a delivered folder, whose setting was found already",
            "tune the checkpoint that it was exported from: honed tune model=CHECKPOINT",
        )
    extra = options.extra
    with open_store(options.store) as store:
        space = build_space(question)
        near = profile.nearest(store.url, question.base) if options.warm else None
        if near is not None:
            extra = {"warm": [dict(s) for s in near.points], "warm_from": near.study, **extra}
        question = replace(question, extra={**question.extra, **extra})
        with making_tables(store.url):
            return storage.create(store.url, question, space)


def resumed(name: str, words: Sequence[str], options: TuneOptions) -> Study:
    """A stored study; `budget=` and `trials=` may give it more, other words cannot change it."""
    with open_store(options.store) as store:
        study = storage.load(store.url, name)
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
    study.question = replace(study.question, **more)
    return study


def again(name: str, words: Sequence[str], options: TuneOptions) -> Study:
    """A new study with the question of a stored one, on this machine, which begins with the best
    settings of the stored one; `budget=` and `trials=` replace its few trials."""
    with open_store(options.store) as store:
        old = storage.load(store.url, name)
        best = profile.named(store.url, name).points
    keys = [word.partition("=")[0] for word in words]
    for key, word in zip(keys, words, strict=True):
        if key not in ("budget", "trials", "study"):
            raise UsageError(f"{word} would be another question", f"honed tune {word} ...")
    few = [] if {"budget", "trials"} & {*keys} else [f"trials={POLICY.again_trials}"]
    fresh = parse([*recipe.words(old.question.base), *few, *words])
    extra = {**options.extra, "warm": [dict(s) for s in best], "warm_from": name}
    question = replace(
        old.question, name=fresh.name, budget_s=fresh.budget_s, trials=fresh.trials, extra=extra
    )
    with open_store(options.store) as store, making_tables(store.url):
        return storage.create(store.url, question, build_space(question))


def run(study: Study, options: TuneOptions) -> Outcome:
    """Search and confirm. A study that has ended and is given nothing more is not measured again:
    its stored outcome is returned."""
    stored = study.outcome
    if stored is not None and not _is_given_more(study.question, stored):
        return stored
    with open_store(options.store) as store:
        outcome = find(_context(store, study, options))
        best = [c.setting for c in candidates(study.trials()) if c.feasible]
        recommended = [outcome.point] if outcome.point is not None else []
        recommendation = profile.profile_of(outcome, [*recommended, *best])
        if recommendation is not None:
            profile.keep(store.url, recommendation)
    return outcome


def why_ended(study: Study) -> str:
    """Why `run` would measure nothing more, and what to type; empty if it would go on."""
    stored, name = study.outcome, study.name
    if stored is None or _is_given_more(study.question, stored):
        return ""
    if stored.ended == "trials":
        why, more = f"after {say.counted(stored.trials)}", f"trials={2 * stored.trials}"
    elif stored.ended == "budget":
        minutes = math.ceil(stored.elapsed_s / 30)  # twice as much
        why, more = "with its budget", f"budget={minutes}m"
    else:
        repeat = f"honed tune --again {name} repeats it"
        return f"{name} ended when nothing was left to try; nothing is measured again: {repeat}"
    resume = f"honed tune --resume {name} {more}"
    return f"{name} ended {why}; nothing is measured again. To give it more: {resume}"


def find(context: StudyContext) -> Outcome:
    """Search, then confirm. Ctrl-C ends both; the outcome is then what the trials say so far."""
    context.study.sweep_up()
    try:
        return confirm(context, search(context))
    except KeyboardInterrupt:
        return unconfirmed(context, "interrupted")


def so_far(study: Study, options: TuneOptions) -> Outcome:
    """The outcome of an unfinished study by its trials, without an interval."""
    with open_store(options.store) as store:
        return unconfirmed(_context(store, study, options), "interrupted")


def _context(store: Store, study: Study, options: TuneOptions) -> StudyContext:
    question, waiting = study.question, options.listeners.waiting
    lab = LocalLab(store, waiting)
    if question.clients is not None:
        lab = ServedLab(store, Clients(question.clients, question.limit_ms), waiting)
    return StudyContext(study, lab, options.listeners)


def _is_given_more(question: Question, stored: Outcome) -> bool:
    if stored.ended == "interrupted":
        return True
    if stored.ended == "budget":
        budget_s = question.budget_s
        return budget_s is not None and stored.elapsed_s < POLICY.resume_share * budget_s
    more_trials = question.trials is not None and stored.trials < question.trials
    return stored.ended == "trials" and more_trials


def stored_facts(name: str, store: str | None = None) -> StudyFacts:
    """What a report needs of a stored study, by its name or as the "last" one."""
    with open_store(store, make=False) as opened:
        return facts(storage.load(opened.url, name))


def facts(study: Study) -> StudyFacts:
    """What a report needs of a study; it may be unfinished."""
    trials, outcome = study.trials(), study.outcome
    axes: dict[str, Axis] = {}
    for key, axis in study.space.axes().items():
        # An engine may be given a value that was not asked for.
        others = dict.fromkeys(t.setting.get(key) for t in trials)
        values = (*axis.values, *(v for v in others if v not in axis.values))
        axes[key] = replace(axis, values=values)
    shares = outcome.importances if outcome else importances(study.space, trials)
    told_apart = {key: share for key, share in shares.items() if share is not None}
    goals = (Goal(m.name, m.shown_unit, m.better) for m in study.question.measures)
    return StudyFacts(
        study.name, tuple(goals), tuple(trials), axes, study.space.default, study.question.limits,
        told_apart, outcome,
        say.headline(outcome, study.question) if outcome else "",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class NamedCase:
    """A Case that was named; `differences` say in what its study's machine or question was
    another one."""

    case: Case
    study: str | None = None
    differences: tuple[str, ...] = ()


def named_case(name: str, words: Sequence[str], store: str | None) -> NamedCase:
    """The Case of `best`, `STUDY:best`, `STUDY:default` or a record's id.

    `best` alone is the nearest profile for the model in `words`, or the newest profile. `words`
    are also what the differences are taken to.
    """
    with open_store(store) as opened:
        study_name, colon, which = name.rpartition(":")
        if name == "best":
            of_study: Profile | None = _nearest(words, opened.url)
        else:
            stored = profile.profiles(opened.url) if which == "best" and colon else []
            of_study = next((p for p in stored if p.study == study_name), None)
        if of_study is None:
            case = _stored_case(study_name, which, opened) if colon else _case_of(name, opened)
            return NamedCase(case)
    wanted = change(of_study.case, words).cases[0] if words else of_study.case
    return NamedCase(of_study.case, of_study.study, profile.differences(of_study, wanted))


def _case_of(id: str, opened: Store) -> Case:
    try:
        return opened.get(id).to_case()
    except StoreError:
        with suppress(UsageError):  # without Optuna there are no studies
            if id in storage.names(opened.url):
                raise StoreError(f"{id} is a study", f"{id}:best or {id}:default") from None
        raise


def _nearest(words: Sequence[str], url: sa.URL) -> Profile:
    if any(word.startswith("model=") for word in words):
        nearest = profile.nearest(url, compose(words).cases[0])
    else:
        nearest = next(iter(profile.profiles(url)), None)
    if nearest is None:
        raise UsageError("no study has found anything for this model", "honed tune model=NAME")
    return nearest


def _stored_case(study_name: str, which: str, opened: Store) -> Case:
    study = storage.load(opened.url, study_name)
    setting: Setting | None = None
    if which == "default":
        setting = study.space.default
    elif which == "best" and study.outcome is not None:
        setting = study.outcome.point
    if setting is None:
        hint = f"{study_name}:best"
        if which == "best":
            has_ended = study.outcome is not None
            hint = f"honed tune {'show' if has_ended else '--resume'} {study_name}"
        raise UsageError(f"{study_name} has no {which} to run", hint)
    return study.space.case(setting)
