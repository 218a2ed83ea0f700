"""Profiles: the recommendations of studies, stored with the model, hardware and engine versions
they are for; and how far this machine and model are from them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable

from honed import database
from honed.backends.base import load_backend
from honed.case import Case
from honed.errors import HonedError, UsageError, did_you_mean
from honed.machine import facts, limits
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate
from honed.plain import from_plain, to_plain
from honed.record import Interval
from honed.study import Outcome, Setting
from honed.tune.policy import POLICY
from honed.values import as_typed

# What makes two models alike enough that a setting of one is worth trying on the other.
_SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads",
          "intermediate_size", "dim", "n_layers", "n_heads")  # fmt: skip

_METADATA = sa.MetaData()
_PROFILES = sa.Table(
    "profiles",
    _METADATA,
    sa.Column("study", sa.Text, primary_key=True),
    sa.Column("stored_ns", sa.BigInteger, nullable=False),
    sa.Column("model_key", sa.Text, nullable=False),
    sa.Column("hardware", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Place:
    """The model, hardware and packages that a setting was measured with, or would run with now.
    The model's part is empty where it is unknown before the model is loaded."""

    model_key: str
    model_shape: Mapping[str, Any]
    hardware: str
    cpu: str
    cpus: float
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Profile:
    """The recommendation of one study. `points` are its best settings, the best first."""

    study: str
    created: str
    objectives: tuple[str, ...]
    case: Case
    points: tuple[Setting, ...]
    gain: Interval
    place: Place


def here(case: Case, also: Sequence[str] = ()) -> Place:
    """This machine, for the model and engine of `case` (and the engines `also`)."""
    machine = facts.machine_facts()
    try:
        checkpoint = locate(ModelRequest.from_case(case))
    except HonedError:
        checkpoint = None  # a run of the model reports what is wrong with it
    versions = {k: v for b in (case.backend, *also) for k, v in load_backend(b).versions().items()}
    config = checkpoint.config if checkpoint else {}
    shape = {key: value for key, value in config.items() if key in _SHAPE}
    return Place(
        checkpoint.key if checkpoint else "", shape, facts.fingerprint(machine),
        str(machine.get("cpu")), float(limits.read().effective_count), versions,
    )  # fmt: skip


def profile_of(outcome: Outcome, settings: Sequence[Setting]) -> Profile | None:
    """The profile of a study, with its best settings; None where it recommends nothing."""
    if outcome.best is None:
        return None
    case = outcome.best.to_case()
    created, best = datetime.now(UTC).isoformat(timespec="seconds"), tuple(settings)
    return Profile(
        outcome.study, created, outcome.objectives, case, best[: POLICY.profile_settings],
        outcome.gain, here(case),
    )  # fmt: skip


def keep(url: sa.URL, profile: Profile) -> None:
    """Store the profile, durable when this returns, in place of an earlier one of the study."""
    place = profile.place
    row = {"study": profile.study, "stored_ns": time.time_ns(), "model_key": place.model_key,
           "hardware": place.hardware, "body": json.dumps(to_plain(profile))}  # fmt: skip
    with _engine(url).begin() as connection:
        connection.execute(CreateTable(_PROFILES, if_not_exists=True))
        connection.execute(_PROFILES.delete().where(_PROFILES.c.study == profile.study))
        connection.execute(_PROFILES.insert(), row)


def profiles(url: sa.URL) -> list[Profile]:
    """All stored profiles, the newest first."""
    if database.is_missing(url):
        return []
    try:
        with _engine(url).connect() as connection:
            if not sa.inspect(connection).has_table(_PROFILES.name):
                return []
            query = sa.select(_PROFILES.c.body).order_by(_PROFILES.c.stored_ns.desc())
            bodies = connection.scalars(query)
            return [from_plain(Profile, json.loads(body)) for body in bodies]
    except SQLAlchemyError as error:
        raise database.explain(error, url) from error


def named(url: sa.URL, study: str) -> Profile:
    """The profile of a study; UsageError with the nearest names otherwise."""
    by_study = {p.study: p for p in profiles(url)}
    if study not in by_study:
        near = did_you_mean(study, by_study) or f"known: {', '.join(by_study) or 'none yet'}"
        raise UsageError(
            f"no study called {study!r} has a recommendation in {database.name(url)}",
            f"{near}; honed tune model=NAME makes one",
        )
    return by_study[study]


def nearest(url: sa.URL, case: Case) -> Profile | None:
    """The profile whose settings are the most likely to be good for `case` on this machine; None
    if no profile is of a similar model. Of equally near ones, the newest."""
    able = []
    for profile in profiles(url):
        place = here(case, also=(profile.case.backend,))
        if (distance := _distance(profile, case, place)) is not None:
            able.append((distance, profile))
    return min(able, key=lambda pair: pair[0])[1] if able else None


def differences(profile: Profile, case: Case) -> tuple[str, ...]:
    """In words, how this machine and `case` differ from what the profile was measured with."""
    now, then = here(case), profile.place
    texts = []
    if now.model_key != then.model_key:
        texts.append("another model" if now.model_key else "a model that is not here yet")
    if now.cpu != then.cpu:
        texts.append(f"processor {then.cpu}, here {now.cpu}")
    if now.cpus != then.cpus:
        texts.append(f"{then.cpus:g} effective cores, here {now.cpus:g}")
    if not texts and now.hardware != then.hardware:
        texts.append("other hardware of the same name")
    for package, version in sorted(then.versions.items()):
        if (installed := now.versions.get(package)) != version:
            texts.append(f"{package} {version}, here {installed or 'none'}")
    old = profile.case.to_json()
    texts += [
        f"{key}={as_typed(old.get(key))}, here {as_typed(value)}"
        for key, value in case.to_json().items()
        if key in _WHAT_IS_RUN and old.get(key) != value
    ]
    return tuple(texts)


_WHAT_IS_RUN = ("task", "batch_size", "total_batch", "sequence_length", "inputs", "lengths")


def _distance(profile: Profile, case: Case, now: Place) -> tuple[bool, bool, int, float] | None:
    """In this order: another model, other hardware, other versions, the difference in length.
    None if the models are not alike."""
    then = profile.place
    same_model = bool(now.model_key) and now.model_key == then.model_key
    if not same_model and (not now.model_shape or now.model_shape != then.model_shape):
        return None
    other_versions = sum(now.versions.get(k) != v for k, v in then.versions.items())
    length = abs(profile.case.sequence_length - case.sequence_length)
    return not same_model, now.hardware != then.hardware, other_versions, float(length)


def _engine(url: sa.URL) -> sa.Engine:
    try:
        return database.connect(url)
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise database.explain(error, url) from error
