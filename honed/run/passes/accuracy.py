"""Accuracy: examples that a user labelled, or agreement with fp32 where nothing is labelled.

The examples are prepared once and the answers of fp32 cached. The setting answers in the first
instance only, because all run the same setting, and after everything that is timed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.backends.base import Step
from honed.case import Case
from honed.errors import UsageError
from honed.instruments import predictions
from honed.instruments.predictions import Answer
from honed.models.calibration import other_texts
from honed.models.evaluation import evaluation_set
from honed.models.evaluation.evaluation_set import EvaluationSet
from honed.models.evaluation.examples import read_examples
from honed.models.evaluation.rows import texts_by_line
from honed.models.inputs import about_random_ids
from honed.models.tasks import is_multi_label
from honed.models.texts import read_texts
from honed.models.tokenizer import tokenless_named
from honed.phase import Phase
from honed.plain import from_plain, to_plain
from honed.record import Doubt
from honed.run.job import Prepared
from honed.run.needs import (
    ROWS_COMPARED,
    Need,
    about_reference,
    about_texts,
    about_tokenizer,
    reference_step,
)
from honed.run.passes.base import Gathered, Loaded, Merged
from honed.statistics import accuracy

BARRIERS = ()
_MOST_AT_ONCE = 32  # sequences: logits of a vocabulary are wide
_ANSWERS = "answers.npz"
_REFERENCE = "said.json"
# What is compared where nothing is known about the examples.
_UNLABELLED = {"choices": "top1_agreement", "vectors": "cosine", "score": "spearman"}


@dataclass(frozen=True, slots=True)
class Part:
    """One number for each truth (a label, a score, an agreement); None if one is not finite."""

    predicted: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class _Reference:
    """The metric where nothing is labelled (else empty), and one number for each truth by fp32.

    The field names are those of files in users' caches.
    """

    metric: str
    said: tuple[float, ...]


def _about_examples(case: Case, prepared: Prepared) -> dict[str, Any] | None:
    about = _about(case, prepared)
    if about is None:
        return None
    name = case.eval and Path(case.eval).name
    return {**about, "name": name, "batch_size": _batch_size(case)}


def _about_answers(case: Case, prepared: Prepared) -> dict[str, Any] | None:
    about = _about(case, prepared)
    if about is None:
        return None
    return {**about, **about_reference(case)}


def _about(case: Case, prepared: Prepared) -> dict[str, Any] | None:
    """What decides both; None where the Case asks for no accuracy."""
    if not case.evaluates:
        return None
    checkpoint = prepared.checkpoint
    about = {
        "format": 3,
        "checkpoint": checkpoint.key,
        "task": checkpoint.task,
        "pooling": checkpoint.pooling,
        "longest": case.sequence_length,
        "metric": case.eval_metric,
    }
    if case.eval is not None:
        return about | {"file": _digest(case.eval)} | about_tokenizer(checkpoint)
    if case.inputs is not None:
        return about | about_texts(case.inputs, case.inputs_field, checkpoint)
    return about | about_random_ids(checkpoint)


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read eval={path}: {error.strerror}", "check eval=") from None


def _batch_size(case: Case) -> int:
    return min(case.batch_size, _MOST_AT_ONCE)


def _make_examples(case: Case, prepared: Prepared, folder: Path) -> None:
    """The labelled examples, or the user's texts that nothing was calibrated on, or random ids."""
    checkpoint, size, longest = prepared.checkpoint, _batch_size(case), case.sequence_length
    if case.eval is not None:
        path = Path(case.eval)
        examples = read_examples(path, checkpoint, case.eval_metric)
        with tokenless_named(path, lambda: texts_by_line(path)):
            evaluation = evaluation_set.from_examples(
                checkpoint, examples, size, longest, path.name
            )
    elif case.inputs is None:
        evaluation = evaluation_set.from_random_ids(checkpoint, size, longest)
    else:
        texts = read_texts(Path(case.inputs), case.inputs_field)
        calibrated = set(other_texts(texts, ROWS_COMPARED))
        unseen = [text for text in dict.fromkeys(texts) if text not in calibrated]
        evaluation = evaluation_set.from_texts(checkpoint, unseen, size, longest)
    evaluation.save(folder)


def _make_answers(case: Case, prepared: Prepared, folder: Path) -> None:
    evaluation = EvaluationSet.load(EXAMPLES.folder(prepared))
    several = is_multi_label(prepared.checkpoint.task, prepared.checkpoint.config)
    answers = _answers(reference_step(case, prepared), evaluation, several)
    metric, kept = "", list[Answer]()
    if evaluation.truths.kind == "outputs":
        metric = _UNLABELLED[predictions.kind_of(answers)]
        if several:
            metric = "label_agreement"
    if metric in ("top1_agreement", "label_agreement", "cosine"):
        kept, values = answers, [1.0] * len(answers)
    else:
        values = _values(evaluation, answers)
    arrays: dict[str, npt.NDArray[np.generic]] = {str(i): a for i, a in enumerate(kept)}
    np.savez(folder / _ANSWERS, allow_pickle=False, **arrays)
    reference = _Reference(metric, tuple(values))
    (folder / _REFERENCE).write_text(json.dumps(to_plain(reference)))


EXAMPLES = Need("evaluation", Phase.EVALUATING_REFERENCE, _about_examples, _make_examples)
ANSWERS = Need("evaluated", Phase.EVALUATING_REFERENCE, _about_answers, _make_answers)
NEEDS = (EXAMPLES, ANSWERS)


def work(loaded: Loaded) -> Part | None:
    prepared = loaded.job.prepared
    if loaded.job.seat.index or not EXAMPLES.is_met(prepared):
        return None
    loaded.on_phase(Phase.EVALUATING)
    evaluation = EvaluationSet.load(EXAMPLES.folder(prepared))
    several = is_multi_label(prepared.checkpoint.task, prepared.checkpoint.config)
    answers = _answers(loaded.step, evaluation, several)
    if not predictions.finite(answers):
        return Part(None)
    if evaluation.truths.kind == "outputs" and predictions.kind_of(answers) != "score":
        with np.load(ANSWERS.folder(prepared) / _ANSWERS) as stored:
            truth = [stored[str(place)] for place in range(len(stored.files))]
        return Part(tuple(predictions.agreement(truth, answers)))
    return Part(tuple(_values(evaluation, answers)))


def merge(gathered: Gathered[Part]) -> Merged:
    """The setting's accuracy beside the reference's."""
    case, prepared, predicted = gathered.case, gathered.prepared, gathered.parts[0].predicted
    examples = evaluation_set.load_truths(EXAMPLES.folder(prepared))
    stored = json.loads((ANSWERS.folder(prepared) / _REFERENCE).read_text())
    reference = from_plain(_Reference, stored)
    metric = examples.metric or reference.metric
    truth = examples.truth or reference.said
    if metric == "rank_overlap":
        truth = reference.said  # the order that fp32 gives is the one to keep
    groups = examples.groups or range(len(reference.said))
    # Without finite outputs fp32 is compared with itself, and what follows from them is emptied.
    values = reference.said if predicted is None else predicted
    compared = accuracy.Predictions(truth, reference.said, values, groups)
    result = accuracy.judge(metric, compared, case.max_accuracy_drop, examples.source)
    doubts: tuple[Doubt, ...] = ()
    if predicted is None:
        result = replace(result, value=None, drop=None, drop_ci95=None)
    else:
        least = accuracy.chance(metric, truth) if case.eval is not None else None
        doubts = accuracy.doubts(result, least)
    complaint = accuracy.complaint(result)
    return Merged(accuracy=result, doubts=doubts, diverged=(complaint,) if complaint else ())


def _answers(step: Step, evaluation: EvaluationSet, several: bool) -> list[Answer]:
    """One for each sequence, in the order that the judging knows them by."""
    in_batches: list[Answer] = []
    for batch in evaluation.batches:
        outputs = step.outputs(step.run(step.prepare(batch)))
        mask = batch["attention_mask"]
        in_batches += predictions.answers(outputs, mask, several=several)
    answers: list[Answer] = [np.empty(0)] * len(in_batches)
    for place, answer in zip(evaluation.order, in_batches, strict=True):
        answers[place] = answer
    return answers


def _values(evaluation: EvaluationSet, answers: Sequence[Answer]) -> list[float]:
    """What the answers come to for each item: a label, or the similarity of a pair."""
    kind, items = evaluation.truths.kind, evaluation.truths.items
    if kind == "pairs":
        return predictions.similarities(answers, items)
    if kind == "outputs":
        items = tuple((place, 0) for place in range(len(answers)))
    return predictions.choices_at(answers, items)
