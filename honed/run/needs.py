"""Needs: what is made once for a Case, cached by its content, and read by its workers.

Input and calibration batches stand here; a pass declares its other needs in its own file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed import artifacts
from honed.backends.base import LoadRequest, Step, load_backend, traits
from honed.case import Case
from honed.errors import ModelError, UnsupportedError
from honed.machine.facts import package_versions
from honed.models import make_inputs
from honed.models.calibration import SEQUENCES, random_calibration, text_calibration
from honed.models.checkpoint import Checkpoint
from honed.models.draw_lengths import drawn
from honed.models.heads import input_names
from honed.models.inputs import Ids, InputSet, about_random_ids
from honed.models.texts import numbered_texts, read_texts
from honed.models.tokenizer import tokenless_named
from honed.phase import Phase
from honed.run.job import Prepared

ROWS_COMPARED = 8  # sequences: enough to see a broken engine, cheap on a large model
_BATCHES = 4  # different random batches at least, so that no engine profits from seeing one twice
_FILE = "inputs.npz"


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a Case needs: what decides its content, and how it is made.

    `about` returns None where the Case does not need it. Both functions see what was prepared
    before: the model, and the needs that stand earlier in the list.
    """

    kind: str
    phase: Phase
    about: Callable[[Case, Prepared], Mapping[str, Any] | None]
    make: Callable[[Case, Prepared, Path], None]

    def is_met(self, prepared: Prepared) -> bool:
        return self.kind in prepared.folders

    def folder(self, prepared: Prepared) -> Path:
        return prepared.folders[self.kind]


def reference_step(case: Case, prepared: Prepared, batch_size: int = 1) -> Step:
    """The Case's model on the reference backend: fp32 and nothing set. UnsupportedError for a
    delivered folder, which brings outputs of the reference but not its weights."""
    if prepared.checkpoint.engine_files is not None:
        raise UnsupportedError(
            f"{case.model} is a delivered folder: it has no fp32 weights to compare with",
            "leave eval and max_accuracy_drop out, or give the checkpoint: model=CHECKPOINT",
        )
    name = load_backend(case.backend).REFERENCE
    plain = Case(model=case.model, backend=name, seed=case.seed, batch_size=batch_size)
    return load_backend(name).load(LoadRequest(plain, prepared.checkpoint, None), None)


def about_reference(case: Case) -> dict[str, str]:
    """Which backend gives the reference outputs, in which version."""
    name = load_backend(case.backend).REFERENCE
    return {"by": name, **load_backend(name).versions()}


def about_texts(path: str, field: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that decides the tokens of a file's texts, but their lengths."""
    try:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"cannot read inputs={path}: {error.strerror}", "give a .txt, .jsonl or .csv"
        ) from None
    return {
        "texts": digest,
        "kind": Path(path).suffix.lower(),
        "field": field,
        "names": input_names(checkpoint),
        **about_tokenizer(checkpoint),
    }


def about_tokenizer(checkpoint: Checkpoint) -> dict[str, Any]:
    versions = package_versions(("tokenizers", "transformers"))
    own_code = {"own_code": True} if checkpoint.own_code else {}
    return {"tokenizer": checkpoint.text_key, "tokenized_by": versions, **own_code}


def load_inputs(prepared: Prepared) -> InputSet:
    return InputSet.load(INPUTS.folder(prepared) / _FILE)


def load_calibration(prepared: Prepared) -> InputSet | None:
    if not CALIBRATION.is_met(prepared):
        return None
    return InputSet.load(CALIBRATION.folder(prepared) / _FILE)


def about_inputs(case: Case, prepared: Prepared) -> dict[str, Any]:
    about: dict[str, Any] = {
        "format": 2,
        "batch_size": case.batch_size,
        "sequence_length": case.sequence_length,
    } | make_inputs.about(case)
    if prepared.model is None:
        return about | {"seed": case.seed, "values": "none"}
    checkpoint = prepared.model
    if case.inputs is None:
        return about | {"seed": case.seed} | about_random_ids(checkpoint)
    texts = about_texts(case.inputs, case.inputs_field, checkpoint)
    return about | texts | {"checkpoint": checkpoint.key}


def _make_inputs(case: Case, prepared: Prepared, folder: Path) -> None:
    batches = max(_BATCHES, math.ceil(ROWS_COMPARED / case.batch_size))
    if prepared.model is None:
        inputs = _shapes_alone(case, batches)
    elif case.inputs is None:
        inputs = make_inputs.random_ids(case, prepared.model, batches)
    else:
        path = Path(case.inputs)
        numbered = numbered_texts(path, case.inputs_field)
        with tokenless_named(path, lambda: ((n, {text}) for n, text in numbered)):
            inputs = make_inputs.from_texts(case, prepared.model, [text for _, text in numbered])
    inputs.save(folder / _FILE)


def _shapes_alone(case: Case, batches: int) -> InputSet:
    """Batches for a kernel, which has no vocabulary: ids of 0, and a mask of real lengths. One
    batch is enough where all have the same shape; a kernel may hold several tensors for each."""
    count = batches * case.batch_size if case.lengths is not None else case.batch_size
    lengths = [case.sequence_length] * count
    if case.lengths is not None:
        lengths = [*drawn(case.lengths, count, case.sequence_length, case.seed)]
    made: list[dict[str, Ids]] = []
    for start in range(0, count, case.batch_size):
        batch_lengths = np.asarray(lengths[start : start + case.batch_size], np.int64)
        mask = (np.arange(batch_lengths.max()) < batch_lengths[:, None]).astype(np.int64)
        made.append({"input_ids": np.zeros_like(mask), "attention_mask": mask})
    return InputSet(tuple(made), tuple(int(n) for n in lengths), "shapes without values")


def _about_calibration(case: Case, prepared: Prepared) -> dict[str, Any] | None:
    """Only precisions whose quantiser takes its ranges from data are calibrated, and a delivered
    model is quantised already."""
    if prepared.model is None or case.precision not in traits(case.backend).calibrated:
        return None
    if prepared.model.engine_files is not None:
        return None
    about: dict[str, Any] = {"format": 3, "checkpoint": prepared.model.key}
    about |= about_random_ids(prepared.model)  # they are added where there are too few texts
    if case.lengths is not None:
        lengths = make_inputs.about(case)["lengths"]
        return about | {"lengths": lengths, "longest": case.sequence_length}
    if case.inputs is None:
        return about
    return about | about_texts(case.inputs, case.inputs_field, prepared.model)


def _make_calibration(case: Case, prepared: Prepared, folder: Path) -> None:
    """Batches that no output is judged on: texts after the first ones, or other random ids."""
    checkpoint = prepared.checkpoint
    if case.lengths is not None:
        batches = make_inputs.calibration(case, checkpoint, SEQUENCES)
    elif case.inputs is None:
        batches = random_calibration(checkpoint)
    else:
        texts = read_texts(Path(case.inputs), case.inputs_field)
        batches = text_calibration(checkpoint, texts, ROWS_COMPARED)
    batches.save(folder / _FILE)


INPUTS = Need("inputs", Phase.MAKING_INPUTS, about_inputs, _make_inputs)
CALIBRATION = Need("calibration", Phase.MAKING_INPUTS, _about_calibration, _make_calibration)


def inputs_key(case: Case, prepared: Prepared) -> str:
    """Names the content of the Case's inputs."""
    return artifacts.content_key(about_inputs(case, prepared))
