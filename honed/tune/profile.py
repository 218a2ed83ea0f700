"""Profile: what a study found, kept under model, hardware and engine versions; and how far a
machine of today is from the one that it was found on."""

from __future__ import annotations

import dataclasses
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
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.obtain import locate
from honed.record import Interval
from honed.tune.outcome import Outcome
from honed.tune.trial import Point, point

_KEPT = 5  # settings that a later study tries first
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
    """Where a setting was measured, or would run now: which model, which hardware, what is
    installed. Empty where it cannot be told without loading the model."""

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
    points: tuple[Point, ...]
    gain: Interval
    place: Place

    def to_json(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain |= {"case": self.case.to_json(), "points": [dict(p) for p in self.points]}
        plain |= {"place": _plain(self.place), "gain": dataclasses.asdict(self.gain)}
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Profile:
        limits = data["gain"]["ci95"]
        return cls(
            study=data["study"],
            created=data["created"],
            objectives=tuple(data["objectives"]),
            case=Case.from_json(data["case"]),
            points=tuple(point(p) for p in data["points"]),
            gain=Interval(data["gain"]["value"], tuple(limits) if limits else None),
            place=Place(**data["place"]),
        )


def here(case: Case, also: Sequence[str] = ()) -> Place:
    """This machine, for the model and engine of `case` (and the engines `also`)."""
    found = facts.machine_facts()
    checkpoint = _checkpoint(case)
    versions = {k: v for b in (case.backend, *also) for k, v in load_backend(b).versions().items()}
    return Place(
        model_key=checkpoint.key if checkpoint else "",
        model_shape=_shape(checkpoint) if checkpoint else {},
        hardware=facts.fingerprint(found),
        cpu=str(found.get("cpu")),
        cpus=float(limits.read().effective_count),
        versions=versions,
    )


def profile_of(outcome: Outcome, points: Sequence[Point]) -> Profile | None:
    """What is worth keeping of a study; None where it recommends nothing."""
    if outcome.best is None:
        return None
    case = outcome.best.to_case()
    return Profile(
        study=outcome.study,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        objectives=outcome.objectives,
        case=case,
        points=tuple(point(p) for p in points[:_KEPT]),
        gain=outcome.gain,
        place=here(case),
    )


def keep(url: sa.URL, profile: Profile) -> None:
    """Durable when it returns; a study that was gone on with replaces its own."""
    place = profile.place
    row = {"study": profile.study, "stored_ns": time.time_ns(), "model_key": place.model_key,
           "hardware": place.hardware, "body": json.dumps(profile.to_json())}  # fmt: skip
    with _engine(url).begin() as connection:
        connection.execute(CreateTable(_PROFILES, if_not_exists=True))
        connection.execute(_PROFILES.delete().where(_PROFILES.c.study == profile.study))
        connection.execute(_PROFILES.insert(), row)


def profiles(url: sa.URL) -> list[Profile]:
    """All that are kept, the newest first."""
    if database.is_missing(url):
        return []
    try:
        with _engine(url).connect() as connection:
            if not sa.inspect(connection).has_table(_PROFILES.name):
                return []
            query = sa.select(_PROFILES.c.body).order_by(_PROFILES.c.stored_ns.desc())
            return [Profile.from_json(json.loads(body)) for body in connection.scalars(query)]
    except SQLAlchemyError as error:
        raise database.explain(error, url) from error


def named(url: sa.URL, study: str) -> Profile:
    """The profile of a study; UsageError with the nearest names otherwise."""
    found = {p.study: p for p in profiles(url)}
    if study not in found:
        near = did_you_mean(study, found) or f"known: {', '.join(found) or 'none yet'}"
        raise UsageError(
            f"no study called {study!r} has a recommendation in {database.name(url)}",
            f"{near}; honed tune model=NAME makes one",
        )
    return found[study]


def nearest(url: sa.URL, case: Case) -> Profile | None:
    """The profile whose settings are the likeliest to be good for `case` here; None if no model
    was alike."""
    able = []
    for index, profile in enumerate(profiles(url)):
        place = here(case, also=(profile.case.backend,))
        if (rank := _distance(profile, case, place)) is not None:
            able.append((*rank, index, profile))
    return min(able, key=lambda found: found[:-1])[-1] if able else None


def differences(profile: Profile, case: Case) -> tuple[str, ...]:
    """In words, what is not as it was when `profile` was found; `case` is what would run now."""
    now, then = here(case), profile.place
    found = []
    if now.model_key != then.model_key:
        found.append("another model" if now.model_key else "a model that is not here yet")
    if now.cpu != then.cpu:
        found.append(f"processor {then.cpu}, here {now.cpu}")
    if now.cpus != then.cpus:
        found.append(f"{then.cpus:g} effective cores, here {now.cpus:g}")
    if not found and now.hardware != then.hardware:
        found.append("other hardware of the same name")
    for package, version in sorted(then.versions.items()):
        if (installed := now.versions.get(package)) != version:
            found.append(f"{package} {version}, here {installed or 'none'}")
    old = profile.case.to_json()
    found += [
        f"{key}={_word(old.get(key))}, here {_word(value)}"
        for key, value in case.to_json().items()
        if key in _WHAT_IS_RUN and old.get(key) != value
    ]
    return tuple(found)


_WHAT_IS_RUN = ("task", "batch_size", "total_batch", "sequence_length", "inputs", "lengths")


def _distance(profile: Profile, case: Case, now: Place) -> tuple[bool, bool, int, float] | None:
    """The smaller the nearer: the same model, the same hardware, versions, length."""
    then = profile.place
    same_model = bool(now.model_key) and now.model_key == then.model_key
    if not same_model and (not now.model_shape or now.model_shape != then.model_shape):
        return None
    newer = sum(now.versions.get(k) != v for k, v in then.versions.items())
    length = abs(profile.case.sequence_length - case.sequence_length)
    return not same_model, now.hardware != then.hardware, newer, float(length)


def _checkpoint(case: Case) -> Checkpoint | None:
    try:
        return locate(ModelRequest.from_case(case))
    except HonedError:
        return None  # what is wrong with it is said when it is run


def _shape(checkpoint: Checkpoint) -> dict[str, Any]:
    return {k: checkpoint.config[k] for k in _SHAPE if k in checkpoint.config}


def _engine(url: sa.URL) -> sa.Engine:
    try:
        return database.connect(url)
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise database.explain(error, url) from error


def _plain(place: Place) -> dict[str, Any]:
    return {f.name: _copied(getattr(place, f.name)) for f in dataclasses.fields(place)}


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _word(value: Any) -> str:
    return "null" if value is None else str(value)
