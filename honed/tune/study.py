"""Study: what was asked, the space, and every trial, in Optuna's tables beside the records.

Each trial is written before it is measured and again when it has ended, so that a process killed
at any moment loses the trial that was running and nothing else.
"""

from __future__ import annotations

import json
import os
import platform
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from honed import database
from honed.errors import StoreError, UsageError, did_you_mean
from honed.record import Record
from honed.tune.ask import Ask
from honed.tune.space import Space, axes
from honed.tune.trial import Point, Trial, point

if TYPE_CHECKING:
    import optuna

_HINT = "pip install 'honed[tune]'"
_ATTRIBUTES = ("ask", "space", "outcome", "spent_s", "finished")


@dataclass(frozen=True, slots=True)
class Result:
    """What a trial is told to be when it has ended."""

    status: str
    record: str | None = None
    values: tuple[float, ...] = ()
    violations: Mapping[str, float] | None = None
    elapsed_s: float = 0.0
    message: str = ""


class Study:
    """One study in the database at `url`. Trials are numbered as they begin."""

    def __init__(self, url: sa.URL, inner: optuna.Study, ask: Ask, space: Space) -> None:
        self.url = url
        self.ask = ask
        self.space = space
        self._inner = inner

    @property
    def name(self) -> str:
        return self.ask.name

    def trials(self) -> list[Trial]:
        """All of them in order, running ones included."""
        with _faults(self.url):
            frozen = self._inner.get_trials(deepcopy=False)
        return [_thawed(t, self.ask) for t in frozen if "honed" in t.user_attrs]

    def begin(self, at: Point, stage: str) -> int:
        """A trial of `at` is running, in this process; returns its number."""
        import optuna

        own = {**at}
        grid = {k: v for k, v in axes(self.space).items() if k in own}
        distributions: dict[str, Any] = {
            k: optuna.distributions.CategoricalDistribution(_choices(v, own[k]))
            for k, v in grid.items()
        }
        with _faults(self.url):
            fixed = {k: own[k] for k in grid}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._inner.sampler = optuna.samplers.PartialFixedSampler(
                    fixed, optuna.samplers.RandomSampler(seed=0)
                )
            trial = self._inner.ask(distributions)
            attributes = {"point": own, "stage": stage, "process": _process(), "status": "running"}
            trial.set_user_attr("honed", attributes)
        return int(trial.number)

    def end(self, number: int, result: Result) -> None:
        """The trial's result; durable when it returns."""
        import optuna
        from optuna.trial import TrialState

        violations = dict(result.violations or {})
        with _faults(self.url):
            frozen = self._inner.get_trials(deepcopy=False)[number]
            trial = optuna.trial.Trial(self._inner, frozen._trial_id)
            attributes = {
                **frozen.user_attrs["honed"],
                "status": result.status,
                "record": result.record,
                "values": list(result.values),
                "violations": violations,
                "elapsed_s": result.elapsed_s,
                "message": result.message,
            }
            trial.set_user_attr("honed", attributes)
            for name, violation in violations.items():
                trial.set_constraint(name, violation)
            if result.status == "ok" and result.values:
                self._inner.tell(number, list(result.values))
            else:
                self._inner.tell(number, state=TrialState.FAIL)

    def sweep_up(self) -> int:
        """Trials whose process on this machine is gone become interrupted; returns how many."""
        with _faults(self.url):
            frozen = self._inner.get_trials(deepcopy=False)
        left = [
            t.number
            for t in frozen
            if not t.state.is_finished() and _is_gone(t.user_attrs.get("honed", {}))
        ]
        for number in left:
            if "honed" in frozen[number].user_attrs:
                self.end(number, Result("interrupted", message="its process was killed"))
            else:  # killed between Optuna's line and ours
                import optuna

                self._inner.tell(number, state=optuna.trial.TrialState.FAIL)
        return len(left)

    def remember(self, key: str, value: Any) -> None:
        """A fact about the whole study, JSON-able."""
        with _faults(self.url):
            self._inner.set_user_attr(key, json.dumps(value))

    def recall(self, key: str) -> Any:
        """What `remember` was told last; None if nothing."""
        with _faults(self.url):
            found = self._inner.user_attrs.get(key)
        return None if found is None else json.loads(found)

    @property
    def spent_s(self) -> float:
        """The time that all its ended trials took."""
        return sum(t.elapsed_s for t in self.trials())


def create(url: sa.URL, ask: Ask, space: Space) -> Study:
    """A new study; UsageError if the name is taken."""
    optuna = _optuna()
    directions = ["minimize" if o.better == "less" else "maximize" for o in ask.objectives]
    with _faults(url):
        storage = _storage(url)
        try:
            inner = optuna.create_study(
                storage=storage, study_name=ask.name, directions=directions
            )
        except optuna.exceptions.DuplicatedStudyError:
            raise UsageError(
                f"there is a study called {ask.name} already",
                f"honed tune --resume {ask.name}, or study=ANOTHER_NAME",
            ) from None
        inner.set_user_attr("ask", json.dumps(ask.to_json()))
        inner.set_user_attr("space", json.dumps(space.to_json()))
    return Study(url, inner, ask, space)


def load(url: sa.URL, name: str) -> Study:
    """A stored study; UsageError with the nearest names otherwise."""
    optuna = _optuna()
    with _faults(url):
        storage = _storage(url)
        known = optuna.get_all_study_names(storage)
        if name not in known:
            near = did_you_mean(name, known) or f"known: {', '.join(known[-5:]) or 'none yet'}"
            raise UsageError(f"no study is called {name!r} in {database.name(url)}", near)
        inner = optuna.load_study(study_name=name, storage=storage)
        found = inner.user_attrs
        if "ask" not in found or "space" not in found:
            raise UsageError(f"{name} is not a study of honed's", "honed tune model=NAME")
    ask = Ask.from_json(json.loads(found["ask"]))
    return Study(url, inner, ask, Space.from_json(ask.base, json.loads(found["space"])))


def names(url: sa.URL) -> list[str]:
    """Every stored study, the oldest first."""
    optuna = _optuna()
    with _faults(url):
        return list(optuna.get_all_study_names(_storage(url)))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError("tuning needs Optuna, which is not installed", _HINT) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _storage(url: sa.URL) -> optuna.storages.RDBStorage:
    import optuna

    database.connect(url).dispose()  # the folder of a new file; its write-ahead log
    if url.database and url.get_backend_name() == "sqlite":
        Path(url.database).touch()
    text = url.render_as_string(hide_password=False)
    arguments = {"connect_args": {"timeout": 30}} if "sqlite" in text else {"pool_pre_ping": True}
    return optuna.storages.RDBStorage(text, engine_kwargs=arguments)


@contextmanager
def _faults(url: sa.URL) -> Iterator[None]:
    import optuna

    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        cause = error.__cause__
        raise database.explain(cause if isinstance(cause, Exception) else error, url) from error
    except (SQLAlchemyError, OSError) as error:
        raise database.explain(error, url) from error
    except RuntimeError as error:  # tables of another Optuna
        raise StoreError(f"{database.name(url)}: {error}", "use another HONED_STORE") from error


def _choices(values: Sequence[Any], own: Any) -> list[Any]:
    """A restricted key's default may lie outside of what is searched."""
    return list(values) if own in values else [*values, own]


def _thawed(frozen: optuna.trial.FrozenTrial, ask: Ask) -> Trial:
    found = frozen.user_attrs["honed"]
    values = tuple(found.get("values", ()))
    return Trial(
        number=frozen.number,
        stage=found["stage"],
        point=point(found["point"]),
        status=found["status"],
        record=found.get("record"),
        values=values,
        costs=tuple(o.cost(v) for o, v in zip(ask.objectives, values, strict=False)),
        violations=found.get("violations", {}),
        elapsed_s=found.get("elapsed_s", 0.0),
        message=found.get("message", ""),
    )


def judged(record: Record, ask: Ask) -> Result:
    """What a Record says to the study."""
    message = record.error.message if record.error else ""
    elapsed_s = record.elapsed_s or 0.0
    if not record.ok:
        return Result(record.status, record.id, elapsed_s=elapsed_s, message=message)
    read = [o.read(record, ask.price_per_h) for o in ask.objectives]
    values = tuple(v for v in read if v is not None)
    if len(values) < len(read):
        return Result("unproven", record.id, elapsed_s=elapsed_s, message="no such measurement")
    known = {str(limit): limit.violation(record) for limit in ask.limits}
    violations = {k: v for k, v in known.items() if v is not None}
    return Result("ok", record.id, values, violations, elapsed_s, message)


def _process() -> dict[str, Any]:
    return {"host": platform.node(), "pid": os.getpid(), "began": _began(os.getpid()),
            "at": time.time()}  # fmt: skip


def _began(pid: int) -> str | None:
    """When a process began, in the kernel's ticks: a process id alone may be another's by now."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def _is_gone(found: Mapping[str, Any]) -> bool:
    owner = found.get("process")
    if owner is None:
        return True
    return bool(owner["host"] == platform.node() and _began(owner["pid"]) != owner["began"])
