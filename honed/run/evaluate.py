"""The accuracy pass: examples prepared once, fp32's answers cached, the setting's own judged.

It runs behind timing, memory and proofs, in the first instance only: all run the same setting.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from honed import artifacts
from honed.backends.base import Batch, LoadRequest, load_backend
from honed.case import Case
from honed.errors import UsageError
from honed.instruments import predictions
from honed.instruments.predictions import Answer
from honed.models.calibration import other_texts
from honed.models.checkpoint import Checkpoint
from honed.models.evaluation import evaluation_set
from honed.models.evaluation.evaluation_set import EvaluationSet
from honed.models.evaluation.examples import read_examples
from honed.models.texts import read_texts
from honed.record import Accuracy, Doubt
from honed.statistics import accuracy

_MOST_AT_ONCE = 32  # sequences: logits of a vocabulary are wide
_ANSWERS = "answers.npz"
_SAID = "said.json"
# What is compared where nothing is known about the examples.
_UNLABELLED = {"choices": "top1_agreement", "vectors": "cosine", "score": "spearman"}


class Runs(Protocol):
    """The part of a Step that gives outputs."""

    def prepare(self, batch: Batch) -> Any: ...

    def run(self, feed: Any) -> Any: ...

    def outputs(self, raw: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of the examples and of the reference's answers to them."""

    examples: Path
    reference: Path


def needed(case: Case) -> bool:
    return case.eval is not None or case.max_accuracy_drop is not None


def find(case: Case, checkpoint: Checkpoint) -> Paths | None:
    """Both folders, if they are needed and have been made."""
    if not needed(case):
        return None
    keys = [artifacts.content_key(a) for a in _about(case, checkpoint)]
    examples = artifacts.find("evaluation", keys[0])
    reference = artifacts.find("evaluated", keys[1])
    return None if examples is None or reference is None else Paths(examples, reference)


def made(case: Case, checkpoint: Checkpoint, judged: int) -> Paths | None:
    """Both folders, made as far as they are missing; calibration begins after `judged` texts."""
    if not needed(case):
        return None
    about, about_reference = _about(case, checkpoint)
    examples = artifacts.make(
        "evaluation", about, lambda folder: _evaluation(case, checkpoint, judged).save(folder)
    )
    reference = artifacts.make(
        "evaluated",
        about_reference,
        lambda folder: _reference(case, checkpoint, EvaluationSet.load(examples), folder),
    )
    return Paths(examples, reference)


def work(step: Runs, paths: Paths) -> list[float] | None:
    """What this setting says about every truth; None where it says nothing finite."""
    asked = EvaluationSet.load(paths.examples)
    found = _answers(step, asked)
    if not predictions.finite(found):
        return None
    if asked.truths.kind == "outputs" and predictions.kind_of(found) != "score":
        with np.load(paths.reference / _ANSWERS) as stored:
            truth = [stored[str(place)] for place in range(len(stored.files))]
        return predictions.agreement(truth, found)
    return _said(asked, found)


def judge(
    case: Case, paths: Paths, said: Sequence[float] | None
) -> tuple[Accuracy, tuple[Doubt, ...]]:
    """The setting's accuracy beside the reference's."""
    asked = evaluation_set.load_truths(paths.examples)
    stored = json.loads((paths.reference / _SAID).read_text())
    metric, reference = asked.metric or stored["metric"], stored["said"]
    truth = asked.truth or reference
    if metric == "rank_overlap":
        truth = reference  # the order that fp32 gives is the one to keep
    groups = asked.groups or range(len(reference))
    blind = accuracy.Predictions(truth, reference, reference if said is None else said, groups)
    found = accuracy.judge(metric, blind, case.max_accuracy_drop, asked.source)
    if said is None:
        return _not_finite(found), ()
    least = accuracy.chance(metric, truth) if case.eval is not None else None
    return found, accuracy.doubts(found, least)


def _not_finite(found: Accuracy) -> Accuracy:
    return Accuracy(
        metric=found.metric, reference=found.reference, value=None, drop=None, drop_ci95=None,
        allowed=found.allowed, examples=found.examples, source=found.source,
    )  # fmt: skip


def _about(case: Case, checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Any]]:
    """What decides the examples, and what decides the reference's answers to them."""
    about: dict[str, Any] = {
        "format": 1,
        "checkpoint": checkpoint.key,
        "task": checkpoint.task,
        "pooling": checkpoint.pooling,
        "longest": case.sequence_length,
        "metric": case.eval_metric,
        "file": _digest(case.eval, "eval"),
        "texts": _digest(case.inputs, "inputs") if case.eval is None else None,
        "field": case.inputs_field,
    }
    by = load_backend(case.backend).REFERENCE
    name = case.eval and Path(case.eval).name
    return (
        {**about, "name": name, "batch_size": _batch_size(case)},
        {**about, "by": by, **load_backend(by).versions()},
    )


def _digest(path: str | None, key: str) -> str | None:
    if path is None:
        return None
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {key}={path}: {error.strerror}", f"check {key}=") from None


def _batch_size(case: Case) -> int:
    return min(case.batch_size, _MOST_AT_ONCE)


def _evaluation(case: Case, checkpoint: Checkpoint, judged: int) -> EvaluationSet:
    size, longest = _batch_size(case), case.sequence_length
    if case.eval is not None:
        path = Path(case.eval)
        examples = read_examples(path, checkpoint, case.eval_metric)
        return evaluation_set.from_examples(checkpoint, examples, size, longest, path.name)
    if case.inputs is None:
        return evaluation_set.from_random_ids(checkpoint, size, longest)
    texts = read_texts(Path(case.inputs), case.inputs_field)
    calibrated = set(other_texts(texts, judged))
    unseen = [text for text in dict.fromkeys(texts) if text not in calibrated]
    return evaluation_set.from_texts(checkpoint, unseen, size, longest)


def _reference(case: Case, checkpoint: Checkpoint, asked: EvaluationSet, folder: Path) -> None:
    """The answers of the reference backend, untouched fp32."""
    name = load_backend(case.backend).REFERENCE
    backend = load_backend(name)
    plain = Case(model=case.model, backend=name, seed=case.seed)
    step = backend.load(LoadRequest(plain, checkpoint, None), None)
    found = _answers(step, asked)
    metric, kept = "", []
    if asked.truths.kind == "outputs":
        metric = _UNLABELLED[predictions.kind_of(found)]
    if metric in ("top1_agreement", "cosine"):
        kept, said = found, [1.0] * len(found)
    else:
        said = _said(asked, found)
    named: dict[str, npt.NDArray[np.generic]] = {str(i): a for i, a in enumerate(kept)}
    np.savez(folder / _ANSWERS, allow_pickle=False, **named)
    (folder / _SAID).write_text(json.dumps({"metric": metric, "said": said}))


def _answers(step: Runs, asked: EvaluationSet) -> list[Answer]:
    """Of every sequence, in the order that the judging knows them by."""
    rows: list[Answer] = []
    for batch in asked.batches:
        outputs = step.outputs(step.run(step.prepare(batch)))
        rows += predictions.answers(outputs, batch["attention_mask"])
    found: list[Answer] = [np.empty(0)] * len(rows)
    for place, row in zip(asked.order, rows, strict=True):
        found[place] = row
    return found


def _said(asked: EvaluationSet, found: Sequence[Answer]) -> list[float]:
    kind, items = asked.truths.kind, asked.truths.items
    if kind == "pairs":
        return predictions.similarities(found, items)
    if kind == "outputs":
        items = tuple((place, 0) for place in range(len(found)))
    return predictions.choices_at(found, items)
