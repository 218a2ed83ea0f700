"""The preparing job: weights, inputs and reference outputs, made once and cached.

Parent side: `ready` finds what is there without importing any framework; `work` is the job that
makes what is not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed import artifacts
from honed.backends.base import LoadRequest, load_backend
from honed.case import Case
from honed.errors import ModelError
from honed.models import checkpoint as checkpoints
from honed.models import make_inputs
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.inputs import InputSet, check_length
from honed.models.texts import read_texts
from honed.phase import Phase
from honed.run import calibration, evaluate
from honed.run.job import Job, checkpoint_json
from honed.run.measure import rows_of

Tell = Callable[..., None]
_ROWS = 8  # sequences compared: enough to see a broken engine, cheap on a large model
_BATCHES = 4  # different random batches at least, so that no engine profits from seeing one twice


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a measuring worker reads."""

    checkpoint: Checkpoint
    inputs: Path
    reference: Path
    calibration: Path | None = None
    evaluation: evaluate.Paths | None = None


def ready(case: Case) -> Prepared | None:
    """What is cached already; None when something has to be made first."""
    checkpoint = checkpoints.locate(ModelRequest.from_case(case))
    if checkpoint is None:
        return None
    check_length(checkpoint, case.sequence_length)
    inputs = artifacts.find("inputs", artifacts.content_key(_about_inputs(case, checkpoint)))
    if inputs is None:
        return None
    about = _about_reference(case, checkpoint)
    reference = artifacts.find("reference", artifacts.content_key(about))
    if reference is None:
        return None
    calibrated = calibration.find(case, checkpoint)
    if calibrated is None and calibration.needed(case):
        return None
    evaluation = evaluate.find(case, checkpoint)
    if evaluation is None and evaluate.needed(case):
        return None
    return Prepared(
        checkpoint, inputs / "inputs.npz", reference / "reference.npz", calibrated, evaluation
    )


def work(job: Job, tell: Tell) -> dict[str, Any]:
    """Make weights, inputs and reference as far as they are missing."""
    case = job.case
    tell("phase", phase=Phase.MAKING_MODEL)
    request = ModelRequest.from_case(case)
    checkpoint = checkpoints.locate(request) or checkpoints.materialise(request)
    check_length(checkpoint, case.sequence_length)
    tell("phase", phase=Phase.MAKING_INPUTS)
    inputs = artifacts.make(
        "inputs",
        _about_inputs(case, checkpoint),
        lambda folder: _inputs(case, checkpoint).save(folder / "inputs.npz"),
    )
    tell("phase", phase=Phase.COMPUTING_REFERENCE)
    reference = artifacts.make(
        "reference",
        _about_reference(case, checkpoint),
        lambda folder: _reference(case, checkpoint, inputs / "inputs.npz", folder),
    )
    if evaluate.needed(case):
        tell("phase", phase=Phase.EVALUATING_REFERENCE)
    evaluation = evaluate.made(case, checkpoint, _ROWS)
    return {
        "checkpoint": checkpoint_json(checkpoint),
        "inputs": str(inputs / "inputs.npz"),
        "reference": str(reference / "reference.npz"),
        "calibration": calibration.made(case, checkpoint, _ROWS),
        "evaluation": evaluation and [str(evaluation.examples), str(evaluation.reference)],
    }


def _about_inputs(case: Case, checkpoint: Checkpoint) -> dict[str, Any]:
    about: dict[str, Any] = {
        "format": 1,
        "batch_size": case.batch_size,
        "sequence_length": case.sequence_length,
    } | make_inputs.about(case)
    if case.inputs is None:
        return about | {"seed": case.seed, "vocab_size": checkpoint.vocab_size,
                        "model_type": checkpoint.config.get("model_type")}  # fmt: skip
    path = Path(case.inputs)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"cannot read inputs={case.inputs}: {error.strerror}", "give a .txt, .jsonl or .csv"
        ) from None
    return about | {"texts": digest, "kind": path.suffix, "field": case.inputs_field,
                    "checkpoint": checkpoint.key}  # fmt: skip


def _inputs(case: Case, checkpoint: Checkpoint) -> InputSet:
    if case.inputs is None:
        batches = max(_BATCHES, math.ceil(_ROWS / case.batch_size))
        return make_inputs.random_ids(case, checkpoint, batches)
    return make_inputs.from_texts(
        case, checkpoint, read_texts(Path(case.inputs), case.inputs_field)
    )


def _about_reference(case: Case, checkpoint: Checkpoint) -> dict[str, Any]:
    backend = load_backend(case.backend)
    return {
        "format": 1,
        "checkpoint": checkpoint.key,
        "task": checkpoint.task,
        "pooling": checkpoint.pooling,
        "inputs": artifacts.content_key(_about_inputs(case, checkpoint)),
        "rows": _ROWS,
        "by": backend.REFERENCE,
        **load_backend(backend.REFERENCE).versions(),
    }


def _reference(case: Case, checkpoint: Checkpoint, inputs: Path, folder: Path) -> None:
    """Outputs of the reference backend, untouched fp32, on the first sequences."""
    name = load_backend(case.backend).REFERENCE
    backend = load_backend(name)
    plain = Case(model=case.model, backend=name, seed=case.seed, batch_size=case.batch_size)
    step = backend.load(LoadRequest(plain, checkpoint, None), None)
    chosen = InputSet.load(inputs).head(_ROWS)
    feeds = [step.prepare(batch) for batch in chosen.batches]
    outputs, _ = rows_of(step, feeds, chosen, _ROWS)
    np.savez(folder / "reference.npz", **outputs)
