"""Studies in the database: the question, the space and every trial, in Optuna's tables.

Optuna is used as a table of JSON here, so that optuna-dashboard can show a study; the search asks
a sampler of its own (`honed.tune.sampling`). Each trial is written before it is measured and again
when it has ended: a process that is killed loses the trial that was running and nothing else.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from honed import database
from honed.errors import StoreError, UsageError, did_you_mean
from honed.plain import from_plain, to_plain
from honed.record import Record
from honed.study import Outcome, Setting, Trial
from honed.tune.question import Question
from honed.tune.space import Space

if TYPE_CHECKING:
    import optuna

_HINT = "pip install 'honed[tune]'"
_RESULT = ("status", "record", "values", "violations", "elapsed_s", "message", "once_s")


class Study:
    """One study in the database at `url`. Trials are numbered as they begin."""

    def __init__(self, url: sa.URL, inner: optuna.Study, question: Question, space: Space) -> None:
        self.url = url
        self.question = question
        self.space = space
        self._inner = inner

    @property
    def name(self) -> str:
        return self.question.name

    def trials(self) -> list[Trial]:
        """All trials in order, running ones included."""
        with _faults(self.url):
            frozen = self._inner.get_trials(deepcopy=False)
        return [self._trial(t.number, a) for t in frozen if (a := t.user_attrs.get("honed"))]

    def _trial(self, number: int, attributes: Mapping[str, Any]) -> Trial:
        costs = self.question.costs(attributes.get("values", ()))
        plain = {"number": number, "setting": attributes["point"], "costs": costs}
        return from_plain(Trial, {**attributes, **plain})

    def begin(self, setting: Setting, stage: str) -> Trial:
        """Store that a trial of the setting is running in this process."""
        import optuna

        # Optuna's own columns, for its dashboard: a sampler that is fixed to the setting fills
        # them. A restricted key's default may lie outside of the values that are searched.
        axes = {k: a.values for k, a in self.space.axes().items() if k in setting}
        distributions: dict[str, Any] = {
            k: optuna.distributions.CategoricalDistribution(
                values if setting[k] in values else [*values, setting[k]]
            )
            for k, values in axes.items()
        }
        attributes = {"point": to_plain(setting), "stage": stage, "process": _process(),
                      "status": "running"}  # fmt: skip
        # One transaction writes the row whole. A row that got its process a moment later looked,
        # in between, to another process like the trial of a process that was killed.
        running = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params={key: setting[key] for key in axes},
            distributions=distributions,
            user_attrs={"honed": attributes},
        )
        with _faults(self.url):
            self._inner.add_trial(running)
            number = max(
                t.number for t in self._inner.get_trials(deepcopy=False)
                if t.user_attrs.get("honed", {}).get("process") == attributes["process"]
            )  # fmt: skip
        return self._trial(number, attributes)

    def end(self, trial: Trial) -> None:
        """Store the result of a trial that has begun, durable when this returns."""
        import optuna
        from optuna.trial import TrialState

        with _faults(self.url):
            frozen = self._inner.get_trials(deepcopy=False)[trial.number]
            row = optuna.trial.Trial(self._inner, frozen._trial_id)
            plain = to_plain(trial)
            result = {key: plain[key] for key in _RESULT}
            row.set_user_attr("honed", {**frozen.user_attrs["honed"], **result})
            for limit, violation in trial.violations.items():
                row.set_constraint(limit, violation)
            if trial.ok:
                self._inner.tell(trial.number, list(trial.values))
            else:
                self._inner.tell(trial.number, state=TrialState.FAIL)

    def sweep_up(self) -> int:
        """Mark trials whose process on this machine is gone as interrupted; returns how many."""
        with _faults(self.url):
            frozen = self._inner.get_trials(deepcopy=False)
        open_trials = (t for t in frozen if not t.state.is_finished())
        left = [t.number for t in open_trials if _is_gone(t.user_attrs.get("honed", {}))]
        for number in left:
            if attributes := frozen[number].user_attrs.get("honed"):
                trial = self._trial(number, attributes)
                self.end(replace(trial, status="interrupted", message="its process was killed"))
            else:  # killed between Optuna's row and the attribute "honed"
                import optuna

                self._inner.tell(number, state=optuna.trial.TrialState.FAIL)
        return len(left)

    @property
    def outcome(self) -> Outcome | None:
        """The stored outcome; None while the study has not ended."""
        with _faults(self.url):
            text = self._inner.user_attrs.get("outcome")
        return None if text is None else from_plain(Outcome, json.loads(text))

    def store_outcome(self, outcome: Outcome) -> None:
        with _faults(self.url):
            self._inner.set_user_attr("outcome", json.dumps(to_plain(outcome)))


def create(url: sa.URL, question: Question, space: Space) -> Study:
    """A new study; UsageError if the name is taken."""
    optuna = _optuna()
    directions = [{"less": "minimize", "more": "maximize"}[m.better] for m in question.measures]
    with _faults(url):
        storage = _storage(url)
        try:
            inner = optuna.create_study(
                storage=storage, study_name=question.name, directions=directions
            )
        except optuna.exceptions.DuplicatedStudyError:
            raise UsageError(
                f"there is a study called {question.name} already",
                f"honed tune --resume {question.name}, or study=ANOTHER_NAME",
            ) from None
        plain_space = to_plain(space)
        del plain_space["base"]  # the question has it
        inner.set_user_attr("ask", json.dumps(to_plain(question)))
        inner.set_user_attr("space", json.dumps(plain_space))
    return Study(url, inner, question, space)


def load(url: sa.URL, name: str) -> Study:
    """A stored study by its name, or the "last" one; UsageError with the nearest names else."""
    optuna = _optuna()
    with _faults(url):
        storage = _storage(url)
        known = optuna.get_all_study_names(storage)
        if name == "last" and not known:
            raise UsageError("there is no study yet", "honed tune model=NAME makes one")
        if name == "last" and name not in known:
            name = known[-1]
        if name not in known:
            near = did_you_mean(name, known) or f"known: {', '.join(known[-5:]) or 'none yet'}"
            raise UsageError(f"no study is called {name!r} in {database.name(url)}", near)
        inner = optuna.load_study(study_name=name, storage=storage)
        texts = inner.user_attrs
        if "ask" not in texts or "space" not in texts:
            raise UsageError(f"{name} is not a study of honed's", "honed tune model=NAME")
    question = from_plain(Question, json.loads(texts["ask"]))
    plain_space = {"base": to_plain(question.base), **json.loads(texts["space"])}
    return Study(url, inner, question, from_plain(Space, plain_space))


def names(url: sa.URL) -> list[str]:
    """The names of all stored studies, the oldest first."""
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


def ended(trial: Trial, record: Record, question: Question) -> Trial:
    """The trial with the result that its Record gives."""
    message = record.error.message if record.error else ""
    elapsed_s = record.elapsed_s or 0.0
    trial = replace(
        trial, record=record.id, status=record.status, message=message, elapsed_s=elapsed_s
    )
    if not record.ok:
        return trial
    values = tuple(v for m in question.measures if (v := m.shown(record)) is not None)
    shares = {bound: share for bound in question.bounds
              if (share := bound.violation(record)) is not None}  # fmt: skip
    # What was not measured is not known to keep a limit.
    unknown = [m.name for m in question.measures if m.shown(record) is None]
    unknown += [bound.name for bound in question.bounds if bound not in shares]
    if unknown:
        message = f"{' and '.join(dict.fromkeys(unknown))} was not measured"
        return replace(trial, status="unproven", message=message)
    violations = {str(bound): share for bound, share in shares.items()}
    return replace(trial, values=values, costs=question.costs(values), violations=violations)


def _process() -> dict[str, Any]:
    return {"host": platform.node(), "pid": os.getpid(), "began": _began(os.getpid()),
            "at": time.time()}  # fmt: skip


def _began(pid: int) -> str | None:
    """When a process began, in the kernel's ticks: a process id alone may be another's by now."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def _is_gone(attributes: Mapping[str, Any]) -> bool:
    process = attributes.get("process")
    if process is None:
        return True
    here = process["host"] == platform.node()
    return bool(here and _began(process["pid"]) != process["began"])
