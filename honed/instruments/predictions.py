"""Reduce outputs to the answers that accuracy depends on: a label, a score or a vector.

This happens in the worker, batch by batch, so that the logits of a vocabulary are never kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Answer = npt.NDArray[Any]  # whole numbers: choices; one float: a score; more: vectors
Items = Sequence[tuple[int, int]]


def answers(outputs: Mapping[str, Any], mask: Any, *, several: bool = False) -> list[Answer]:
    """The answer of each sequence of the batch, without its padding.

    `several`: a sequence may have several labels, so there is an answer for each label: twice its
    place, and one more where its probability is above one half.

    embedding [hidden] and last_hidden_state [length, hidden] stay; logits become the choice, one
    or one per token, or stay the score where there is one only; spans become their two ends.
    """
    if several:
        return [_decisions(np.asarray(row, np.float32)) for row in np.asarray(outputs["logits"])]
    real = np.asarray(mask).astype(bool)
    by_output: list[list[Answer]] = []
    for name in sorted(outputs, reverse=True):  # start_logits before end_logits
        array = np.asarray(outputs[name])
        by_output.append([_answer(name, row, real[index]) for index, row in enumerate(array)])
    return [np.concatenate([np.atleast_1d(p) for p in parts], axis=0) for parts in zip(*by_output)]  # noqa: B905


def _answer(name: str, row: Answer, real: npt.NDArray[np.bool_]) -> Answer:
    row = np.asarray(row, np.float32)
    if name in ("start_logits", "end_logits"):
        return _choice(np.where(real, row, -np.inf)) if np.isfinite(row[real]).all() else _LOST
    if name == "logits" and row.ndim < 2:
        return _choice(row) if row.size > 1 else row.reshape(1)
    if row.ndim == 2 and len(row) == len(real):
        row = row[real]
    return _choice(row) if name == "logits" else row


def _decisions(row: Answer) -> Answer:
    return 2 * np.arange(row.size) + (row > 0) if np.isfinite(row).all() else _LOST


_LOST = np.array([np.nan], np.float32)


def _choice(scores: Answer) -> Answer:
    """The place of the highest score; NaN if a score is NaN or infinite."""
    if np.isnan(scores).any() or np.isposinf(scores).any():
        return _LOST
    return np.atleast_1d(scores.argmax(axis=-1))


def finite(answers: Sequence[Answer]) -> bool:
    return all(bool(np.isfinite(answer).all()) for answer in answers)


def choices_at(answers: Sequence[Answer], items: Items) -> list[float]:
    """The label of each item: a sequence and a place in it, which for words is their token."""
    return [float(answers[sequence][place]) for sequence, place in items]


def similarities(answers: Sequence[Answer], items: Items) -> list[float]:
    """The cosine between the vectors of each pair of sequences."""
    units = np.stack([_unit(answer) for answer in answers])
    first, second = (np.array([item[side] for item in items]) for side in (0, 1))
    return [float(s) for s in np.einsum("ij,ij->i", units[first], units[second])]


def agreement(truth: Sequence[Answer], answers: Sequence[Answer]) -> list[float]:
    """For each sequence, the share of equal labels, or the mean cosine of the vectors."""
    return [_agree(np.asarray(t), np.asarray(a)) for t, a in zip(truth, answers, strict=True)]


def _agree(truth: Answer, got: Answer) -> float:
    if truth.shape != got.shape or not np.isfinite(got).all():
        return 0.0
    if truth.dtype.kind in "iu":
        return float((truth == got).mean()) if truth.size else 1.0
    rows = truth.reshape(-1, truth.shape[-1]), got.reshape(-1, got.shape[-1])
    cosines = [float(_unit(t) @ _unit(g)) for t, g in zip(*rows, strict=True)]
    return float(np.mean(cosines)) if cosines else 1.0


def _unit(vector: Answer) -> npt.NDArray[np.float64]:
    wide = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(wide))
    return wide / length if length > 0 else wide


def kind_of(answers: Sequence[Answer]) -> str:
    """What the answers are, where no example is labelled: "choices", "score" or "vectors"."""
    first = np.asarray(answers[0])
    if first.dtype.kind in "iu":
        return "choices"
    return "score" if first.size == 1 else "vectors"
