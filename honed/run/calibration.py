"""Calibration batches on disk: made by the preparing job, read by the build and by the load."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from honed import artifacts
from honed.backends.base import traits
from honed.case import Case
from honed.models import make_inputs
from honed.models.calibration import SEQUENCES, random_calibration, text_calibration
from honed.models.checkpoint import Checkpoint
from honed.models.texts import read_texts

_KIND = "calibration"
_FILE = "inputs.npz"


def needed(case: Case) -> bool:
    return case.precision in traits(case.backend).calibrated


def find(case: Case, checkpoint: Checkpoint) -> Path | None:
    """The file, if it is needed and has been made."""
    if not needed(case):
        return None
    folder = artifacts.find(_KIND, artifacts.content_key(_about(case, checkpoint)))
    return None if folder is None else folder / _FILE


def made(case: Case, checkpoint: Checkpoint, judged: int) -> str | None:
    """The file, made now if it has to be; without the first `judged` of the user's texts."""
    if not needed(case):
        return None

    def build(folder: Path) -> None:
        if case.lengths is not None:
            found = make_inputs.calibration(case, checkpoint, SEQUENCES)
        elif case.inputs is None:
            found = random_calibration(checkpoint)
        else:
            texts = read_texts(Path(case.inputs), case.inputs_field)
            found = text_calibration(checkpoint, texts, judged)
        found.save(folder / _FILE)

    return str(artifacts.make(_KIND, _about(case, checkpoint), build) / _FILE)


def _about(case: Case, checkpoint: Checkpoint) -> dict[str, Any]:
    about: dict[str, Any] = {"format": 2, "checkpoint": checkpoint.key}
    if case.lengths is not None:
        drawn = make_inputs.about(case)["lengths"]
        return about | {"lengths": drawn, "longest": case.sequence_length}
    if case.inputs is None:
        return about
    digest = hashlib.sha256(Path(case.inputs).read_bytes()).hexdigest()
    return about | {"texts": digest, "field": case.inputs_field}
