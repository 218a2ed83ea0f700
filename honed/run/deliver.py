"""The delivering job: the model files of a Case, its tokenizer, and outputs to check them by.

The outputs are those of a step that honed loads and runs as in a measurement; the delivered files
have to give the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed.backends.base import Delivery, LoadRequest, Step, deliverer, load_backend
from honed.errors import UnsupportedError
from honed.instruments import fidelity
from honed.machine.facts import package_versions
from honed.models import delivered
from honed.models.checkpoint import Checkpoint
from honed.models.delivered import CHECKPOINT_FOLDER, MODEL_FOLDER, TOKENIZER_FILE
from honed.models.heads import input_names, output_names
from honed.models.inputs import InputSet
from honed.models.tokenizer import save_fast
from honed.phase import Phase
from honed.record import Fidelity
from honed.run import build
from honed.run.job import Job
from honed.run.needs import load_inputs
from honed.run.passes.fidelity import save_reference, stored_reference
from honed.workers.process import Desk

ENGINE_FILE = "engine.py"
CHECK_FILE = "check.npz"


@dataclass(frozen=True, slots=True)
class TextReading:
    """How texts become ids: `prompt` stands before each text, `longest` is where they are cut."""

    inputs: tuple[str, ...]
    padding_id: int
    longest: int
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a worker wrote into the folder. `reading` is None for a model without a tokenizer.

    `snippet` is Python that opens the engine's files. `checkpoint` is the folder that transformers
    opens, relative to the delivered one, and empty where it holds no weights.
    """

    settings: Mapping[str, Any]
    packages: tuple[str, ...]
    versions: Mapping[str, str]
    fidelity: Fidelity
    model: str
    task: str
    outputs: tuple[str, ...]
    reading: TextReading | None = None
    licences: tuple[str, ...] = ()
    snippet: str = ""
    checkpoint: str = ""


def work(job: Job, desk: Desk) -> Delivered:
    """Export if need be, write the files into `job.out`, and run the first batch for the check."""
    assert job.out is not None
    deliver = deliverer(job.case)
    desk.on_phase(Phase.IMPORTING)
    backend = load_backend(job.case.backend)
    backend.start()
    request = build.request_of(job)
    artifact, _ = build.artifact_for(job, request, desk.on_phase)
    desk.on_phase(Phase.LOADING)
    model = job.out / MODEL_FOLDER
    model.mkdir()
    delivery = deliver(request, artifact, model)
    step = backend.load(request, artifact)
    try:
        compared = _write_check(step, job, job.out)
    finally:
        step.close()
    return _write_files(delivery, request, job.out, compared)


def _write_files(
    delivery: Delivery, request: LoadRequest, out: Path, compared: Fidelity
) -> Delivered:
    shutil.copyfile(delivery.engine, out / ENGINE_FILE)
    for name, helper in delivery.helpers.items():
        shutil.copyfile(helper, out / name)
    checkpoint = request.checkpoint
    copied = delivery.checkpoint or delivered.copy_checkpoint(
        checkpoint, out / CHECKPOINT_FOLDER, with_weights=False
    )
    delivered.save(checkpoint, out, copied)
    # The loader reads arrays in any version of numpy.
    engine = tuple(name for name in delivery.packages if name != "numpy")
    return Delivered(
        settings=delivery.settings,
        packages=delivery.packages,
        versions=package_versions(engine),
        fidelity=compared,
        model=_name(request.case.model),
        task=checkpoint.task,
        outputs=output_names(checkpoint.task, checkpoint.pooling),
        reading=_write_tokenizer(checkpoint, request, out),
        licences=_copy_licences(checkpoint, out),
        snippet=delivery.snippet,
        checkpoint=MODEL_FOLDER if delivery.checkpoint else "",
    )


def _name(model: str) -> str:
    """The hub id or the named shape; of a folder, only its last part."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def _write_check(step: Step, job: Job, out: Path) -> Fidelity:
    """The first batches with this step's outputs, and the fp32 reference's outputs of them."""
    inputs = load_inputs(job.prepared)
    batch = inputs.batches[0]
    raw = step.outputs(step.run(step.prepare(batch)))
    outputs = {name: np.asarray(array) for name, array in raw.items()}
    compared = _compared(step, inputs, job)
    arrays = {f"input/{name}": ids for name, ids in batch.items()}
    arrays |= {f"output/{name}": array for name, array in outputs.items()}
    np.savez(out / CHECK_FILE, allow_pickle=False, **arrays)
    save_reference(inputs, job.prepared, out)
    return compared


def _compared(step: Step, inputs: InputSet, job: Job) -> Fidelity:
    feeds = [step.prepare(batch) for batch in inputs.batches]
    reference, outputs, masks = stored_reference(step, feeds, inputs, job.prepared)
    against = f"{load_backend(job.case.backend).REFERENCE} fp32"
    compared = fidelity.compare(reference, outputs, job.case.precision, masks, against)
    if complaint := fidelity.complaint(compared):
        raise UnsupportedError(f"this setting is not delivered: {complaint}", "another precision")
    return compared


def _write_tokenizer(
    checkpoint: Checkpoint, request: LoadRequest, out: Path
) -> TextReading | None:
    if not checkpoint.has_tokenizer:
        return None
    padding_id = save_fast(checkpoint, out / TOKENIZER_FILE)
    longest = min(request.case.sequence_length, checkpoint.reading.longest or 2**30)
    return TextReading(input_names(checkpoint), padding_id, longest, checkpoint.reading.prompt)


def _copy_licences(checkpoint: Checkpoint, out: Path) -> tuple[str, ...]:
    """The licence and the model card that lie beside the weights."""
    wanted = ("LICENSE", "LICENCE", "LICENSE.TXT", "NOTICE", "README.MD")
    found = [p for p in sorted(checkpoint.folder.iterdir()) if p.name.upper() in wanted]
    for path in found:
        (out / MODEL_FOLDER / path.name).write_bytes(path.read_bytes())
    return tuple(path.name for path in found)
