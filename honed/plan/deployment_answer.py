"""From a Case to the answer about its deployment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from honed.backends._footprint import ModelSizes, Portion, copied
from honed.backends.base import load_backend, traits
from honed.case import Case
from honed.errors import UnsupportedError
from honed.plan import deployment_records as records
from honed.plan.deployment import Deployment, Difference, Engine, parts_of, private_bytes
from honed.plan.deployment_records import Bench
from honed.plan.deployment_sizes import Sizer
from honed.record import Record


def deployment(
    case: Case,
    sizer: Sizer,
    bench: Bench,
    capacity_bytes: int | None,
    on_progress: Callable[[str], None],
) -> Deployment:
    """The deployment of `case`; HonedError where the engine or the model cannot be planned."""
    load_backend(case.backend).check(case)
    if traits(case.backend).remote:
        raise UnsupportedError(
            f"{case.backend} computes in another process, whose memory is not known here",
            "give the engine that the server uses: backend=torch",
        )
    model = sizer.of(case)
    on_progress(f"{case.backend} {case.precision} without a model")
    engine = records.engine(case, bench)
    portions, unknown = portions_of(case, model)
    record = records.same_model(case, bench)
    difference = None
    if record is not None:
        difference = _difference(record, sizer, engine)
    weights = sum(p.size_bytes for p in portions if p.name == "weights" and p.when == "held")
    subject = sizer.planner.subject
    return Deployment(
        case,
        subject.name,
        subject.task,
        weights_bytes=weights,
        tensors_bytes=weights + model.activation_bytes,
        parts=parts_of(engine, portions, difference),
        engine_record=engine.record,
        calibrated_by=None if record is None else record.id,
        unknown=unknown,
        capacity_bytes=capacity_bytes,
    )


def portions_of(case: Case, model: ModelSizes) -> tuple[Sequence[Portion], tuple[str, ...]]:
    """What the backend's file says of the model, and what nobody knows of it."""
    footprint: Callable[[Case, ModelSizes], Sequence[Portion]] | None
    footprint = getattr(load_backend(case.backend), "footprint", None)
    if footprint is None:
        why = f"{case.backend} does not say how it holds weights: a copy of each is assumed"
        return copied(case, model), (why,)
    portions = footprint(case, model)
    unknown = tuple(p.why for p in portions if p.name == "unknown")
    return [p for p in portions if p.name != "unknown"], unknown


def _difference(record: Record, sizer: Sizer, engine: Engine) -> Difference:
    """What the record held less what is predicted for its Case."""
    case = record.to_case()
    portions, _ = portions_of(case, sizer.of(case))
    assert record.memory is not None
    measured = records.peak_bytes(record.memory)
    predicted = private_bytes(parts_of(engine, portions))
    shape = f"{case.batch_size}x{case.sequence_length}"
    return Difference(measured - predicted, record.id, shape)
