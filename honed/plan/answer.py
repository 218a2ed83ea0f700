"""From a question to its answer: predictions, and grids where they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from honed.errors import UsageError
from honed.models import obtain
from honed.models.checkpoint import ModelRequest, max_positions
from honed.models.tasks import FEATURES
from honed.plan.deployment import Deployment
from honed.plan.deployment_answer import deployment
from honed.plan.deployment_records import Bench, local_bench
from honed.plan.deployment_sizes import Sizer
from honed.plan.grid import LENGTHS, Grid, grid
from honed.plan.predict import Planner
from honed.plan.prediction import Prediction
from honed.plan.question import Question
from honed.plan.settings import Settings
from honed.plan.tracing import Subject, UntraceableError, subject_of


@dataclass(frozen=True, slots=True)
class Plan:
    """Predictions in the order asked, grids if `memory=` asked for them, and deployments."""

    predictions: tuple[Prediction, ...] = ()
    grids: tuple[Grid, ...] = ()
    deployments: tuple[Deployment, ...] = ()

    @property
    def prediction(self) -> Prediction:
        """The only prediction; UsageError if there are several or none."""
        if len(self.predictions) != 1:
            raise UsageError(
                f"the plan has {len(self.predictions)} predictions", "read plan.predictions"
            )
        return self.predictions[0]

    @property
    def deployment(self) -> Deployment:
        """The only deployment; UsageError if there are several or none."""
        if len(self.deployments) != 1:
            raise UsageError(
                f"the plan has {len(self.deployments)} deployments", "read plan.deployments"
            )
        return self.deployments[0]


def _ignore(_: str) -> None:
    """For callers that show no progress."""


def answer(
    question: Question,
    on_progress: Callable[[str], None] = _ignore,
    bench: Bench | None = None,
) -> Plan:
    """Trace and replay every cell. `on_progress` gets a line before each. Deployments read the
    records of `bench`; without one those of the default store."""
    if question.deployments:
        bench = bench or local_bench(None, measures=question.measures)
        return Plan(deployments=_deployments(question, bench, on_progress))
    planners: dict[ModelRequest, Planner] = {}
    predictions, grids = [], []
    for case, settings in question.cells:
        request = ModelRequest.from_case(case)
        if request not in planners:
            planners[request] = Planner(subject(request), question.device)
        planner = planners[request]
        _check_cache(planner.subject, settings)
        if question.grid:
            grids.append(_grid(planner, settings, question.lengths, on_progress))
            continue
        _check_length(planner.subject, case.sequence_length)
        shape = f"{settings.batch_size}x{settings.sequence_length}"
        on_progress(f"{planner.subject.name} {settings.mode} {shape}")
        predictions.append(planner.predict(settings, max_batch=question.max_batch))
    return Plan(tuple(predictions), tuple(grids))


def _grid(
    planner: Planner,
    settings: Settings,
    asked_lengths: tuple[int, ...],
    on_progress: Callable[[str], None],
) -> Grid:
    """The grid over the lengths that were asked for; without any, those that the model takes."""
    for length in asked_lengths:
        _check_length(planner.subject, length)
    lengths = asked_lengths or _lengths(planner.subject)
    on_progress(f"{planner.subject.name} {settings.mode}, {len(lengths)} lengths")
    try:
        return grid(planner, settings, lengths)
    except UntraceableError as error:
        raise UntraceableError(
            f"no grid: {error.message}", "leave memory= out for an estimate of one shape"
        ) from None


def _deployments(
    question: Question, bench: Bench, on_progress: Callable[[str], None]
) -> tuple[Deployment, ...]:
    sizers: dict[ModelRequest, Sizer] = {}
    found = []
    for case in question.deployments:
        request = ModelRequest.from_case(case)
        if request not in sizers:
            sizers[request] = Sizer(Planner(subject(request), question.device))
        _check_length(sizers[request].planner.subject, case.sequence_length)
        capacity = question.device.capacity_bytes
        found.append(deployment(case, sizers[request], bench, capacity, on_progress))
    return tuple(found)


def subject(request: ModelRequest) -> Subject:
    """The model, without making the weights of a named shape."""
    shape = obtain.shape_of(request)
    if shape is None:
        checkpoint = obtain.materialise(request)
        return subject_of(checkpoint, request.model, checkpoint.task, checkpoint.pooling)
    task = obtain.task_of_shape(shape, request.task)
    pooling = "none"
    if task == FEATURES:
        pooling = shape.pooling if request.pooling == "auto" else request.pooling
    return subject_of(shape, shape.name, task, pooling)


def _longest(of: Subject) -> int | None:
    return max_positions({**of.config, "model_type": of.model.model_type})


def _lengths(of: Subject) -> tuple[int, ...]:
    longest = _longest(of) or max(LENGTHS)
    return tuple(length for length in LENGTHS if length <= longest) or (longest,)


def _check_cache(of: Subject, settings: Settings) -> None:
    if settings.keeps_cache and of.task != "causal-lm":
        raise UsageError(f"{of.name} with task={of.task} keeps no cache", "cache=false")


def _check_length(of: Subject, sequence_length: int) -> None:
    longest = _longest(of)
    if longest is not None and sequence_length > longest:
        raise UsageError(
            f"sequence_length={sequence_length} is longer than the {longest} positions of "
            f"{of.name}",
            f"sequence_length={longest}",
        )
