"""Fidelity: the first outputs are compared with those of fp32 eager on the same inputs.

A delivered folder brings a few sequences with the outputs of fp32 eager; those are compared then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed.backends.base import Step, load_backend
from honed.case import Case
from honed.instruments import fidelity
from honed.models.inputs import InputSet
from honed.phase import Phase
from honed.record import Fidelity
from honed.run.job import Prepared
from honed.run.needs import (
    ROWS_COMPARED,
    Need,
    about_reference,
    inputs_key,
    load_inputs,
    reference_step,
)
from honed.run.passes.base import Gathered, Loaded, Merged
from honed.run.warmup import Warmup

BARRIERS = ()
_FILE = "reference.npz"
_INPUT, _OUTPUT = "input/", "output/"  # the names of arrays in a delivered folder's file


@dataclass(frozen=True, slots=True)
class Part:
    """How far this instance's outputs are off, and why that is too far (empty: it is not)."""

    fidelity: Fidelity
    complaint: str


def _about(case: Case, prepared: Prepared) -> dict[str, Any] | None:
    if prepared.checkpoint.engine_files is not None:
        return None
    return {
        "format": 1,
        "checkpoint": prepared.checkpoint.key,
        "task": prepared.checkpoint.task,
        "pooling": prepared.checkpoint.pooling,
        "inputs": inputs_key(case, prepared),
        "rows": ROWS_COMPARED,
        **({"own_code": True} if prepared.checkpoint.own_code else {}),
        **about_reference(case),
    }


def _make_reference(case: Case, prepared: Prepared, folder: Path) -> None:
    step = reference_step(case, prepared, case.batch_size)
    inputs = load_inputs(prepared).head(ROWS_COMPARED)
    feeds = [step.prepare(batch) for batch in inputs.batches]
    outputs, _ = _outputs_of(step, feeds, inputs, ROWS_COMPARED)
    np.savez(folder / _FILE, **outputs)


REFERENCE = Need("reference", Phase.COMPUTING_REFERENCE, _about, _make_reference)
NEEDS = (REFERENCE,)


def work(loaded: Loaded) -> Part:
    """Compare this instance's first outputs with the reference. The calls count as warm-up calls,
    except those with the sequences of a delivered folder."""
    prepared = loaded.job.prepared
    if (files := prepared.checkpoint.engine_files) is not None:
        reference, outputs, masks = _delivered_reference(loaded, files.root / _FILE)
    else:
        reference, outputs, masks = stored_reference(
            loaded.warmup, loaded.feeds, loaded.inputs, prepared
        )
    against = f"{load_backend(loaded.case.backend).REFERENCE} fp32"
    compared = fidelity.compare(reference, outputs, loaded.case.precision, masks, against)
    return Part(compared, fidelity.complaint(compared))


def save_reference(inputs: InputSet, prepared: Prepared, folder: Path) -> None:
    """Write the first sequences, and the reference's outputs of them, into a delivered folder."""
    with np.load(REFERENCE.folder(prepared) / _FILE) as stored:
        reference = dict(stored)
    rows = inputs.head(len(next(iter(reference.values())))).batches
    lengths = {batch["input_ids"].shape[1] for batch in rows}
    arrays = {
        f"{_INPUT}{name}": np.concatenate([_padded(batch[name], lengths) for batch in rows])
        for name in rows[0]
    }
    arrays |= {f"{_OUTPUT}{name}": array for name, array in reference.items()}
    np.savez(folder / _FILE, allow_pickle=False, **arrays)


def _delivered_reference(loaded: Loaded, path: Path) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """As `stored_reference`, from the file of a delivered folder, in calls of the Case's size."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    batch = {n.removeprefix(_INPUT): a for n, a in arrays.items() if n.startswith(_INPUT)}
    reference = {n.removeprefix(_OUTPUT): a for n, a in arrays.items() if n.startswith(_OUTPUT)}
    step, size = loaded.step, loaded.case.batch_size
    starts = range(0, len(batch["input_ids"]), size)
    parts = [{name: ids[start : start + size] for name, ids in batch.items()} for start in starts]
    calls = [step.outputs(step.run(step.prepare(part))) for part in parts]
    outputs = {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}
    return reference, outputs, batch["attention_mask"]


def stored_reference(
    step: Step | Warmup, feeds: Sequence[Any], inputs: InputSet, prepared: Prepared
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """The reference's outputs of the first sequences, this step's outputs of them, their masks."""
    with np.load(REFERENCE.folder(prepared) / _FILE) as stored:
        reference = dict(stored)
    rows = len(next(iter(reference.values())))
    return reference, *_outputs_of(step, feeds, inputs, rows)


def merge(gathered: Gathered[Part]) -> Merged:
    """The Record gets the fidelity of the instance whose outputs are furthest off."""
    worst = min(gathered.parts, key=lambda p: (not p.complaint, p.fidelity.cosine_min))
    return Merged(fidelity=worst.fidelity, diverged=(worst.complaint,) if worst.complaint else ())


def _outputs_of(
    step: Step | Warmup, feeds: Sequence[Any], inputs: InputSet, rows: int
) -> tuple[dict[str, Any], Any]:
    """The outputs and masks of the first `rows` sequences, padded to one length."""
    outputs: list[dict[str, Any]] = []
    masks: list[Any] = []
    for index, places in inputs.first(rows).items():
        arrays = step.outputs(step.run(feeds[index]))
        outputs.append({name: np.asarray(array)[places] for name, array in arrays.items()})
        masks.append(inputs.batches[index]["attention_mask"][places])
    lengths = {mask.shape[1] for mask in masks}
    joined = {
        name: np.concatenate([_padded(arrays[name], lengths) for arrays in outputs])
        for name in outputs[0]
    }
    return joined, np.concatenate([_padded(mask, lengths) for mask in masks])


def _padded(array: Any, lengths: set[int]) -> Any:
    """Per-token arrays of shorter batches are padded to the longest, so that they stack."""
    longest = max(lengths)
    if array.ndim < 2 or array.shape[1] not in lengths or array.shape[1] == longest:
        return array
    widths = [(0, 0), (0, longest - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, widths)
