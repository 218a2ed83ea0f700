"""Compare outputs with an fp32 reference on the same inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.errors import HonedError
from honed.record import Fidelity

Floats = npt.NDArray[np.float64]

# The least cosine of any row. A cosine c means a relative error near sqrt(2 (1 - c)): 1.4 % for
# fp32, 4.5 % fp16, 10 % bf16, 24 % int8, 45 % int4.
# One rounding errs by up to 2^-9 (bf16) or 2^-12 (fp16) of the value; a hundred of them on the way
# through a dozen layers add up to about 1 % and 0.15 %, several times that in the worst token.
# fp32 engines differ by the order of their sums and by how they approximate GELU and tanh.
# int8 and int4 keep 256 and 16 levels: errors of a tenth and of a few tenths are normal.
TOLERANCES = {"fp32": 0.9999, "fp16": 0.999, "bf16": 0.995, "int8": 0.97, "int4": 0.9}
# A cosine cannot see the scale, so the largest difference is bounded too: by this many times the
# relative error that the cosine allows, of the reference's largest value.
_DIFF_OVER_ERROR = 2.0
_NARROW = 16  # vectors of fewer numbers have hardly a direction; they are joined to one
_SPANS = ("start_logits", "end_logits")  # [batch, length]: the answer's ends, one score per token


class DivergedError(HonedError):
    """Outputs that cannot be compared: a name is missing or a shape differs."""

    status = "diverged"


def compare(
    reference: Mapping[str, Any],
    outputs: Mapping[str, Any],
    precision: str,
    mask: Any = None,
    against: str = "fp32",
) -> Fidelity:
    """How far the worst row of all outputs is off. DivergedError when names or shapes differ.

    `mask` [batch, length] says which tokens are real (1); `against` names the reference.
    A value that is not finite gives cosine 0 and no difference (JSON has no NaN).
    """
    tolerance = TOLERANCES[precision]
    _check_shapes(reference, outputs)
    cosines, diffs, scales, agreed = [1.0], [0.0], [0.0], []
    for name in reference:
        ranked = name.endswith("logits") and np.ndim(reference[name]) > 1
        ranked = ranked and np.shape(reference[name])[-1] > 1  # one label always wins
        for truth, got in _sequences(name, reference, outputs, mask):
            if not (np.isfinite(truth).all() and np.isfinite(got).all()):
                return Fidelity(against, None, 0.0, None, tolerance)
            cosines.append(_least_cosine(truth, got))
            diffs.append(float(np.abs(truth - got).max(initial=0.0)))
            scales.append(float(np.abs(truth).max(initial=0.0)))
            if ranked:
                agreed.append(truth.argmax(axis=-1) == got.argmax(axis=-1))
    hits = np.concatenate(agreed) if agreed else np.empty(0)
    diff, scale = max(diffs), max(scales)
    relative = 0.0 if diff == 0 else diff / scale if scale > 0 else None
    top1 = float(hits.mean()) if hits.size else None
    return Fidelity(against, diff, min(cosines), top1, tolerance, relative)


def complaint(fidelity: Fidelity) -> str:
    """What is wrong with the outputs, as a sentence; empty when they are within tolerance."""
    if fidelity.max_abs_diff is None:
        return "the outputs hold values that are not finite (NaN or infinity)"
    if fidelity.cosine_min < fidelity.tolerance:
        return (
            f"cosine {fidelity.cosine_min:.5f} to {fidelity.reference} is under "
            f"{fidelity.tolerance:g}, the least for this precision"
        )
    allowed = _DIFF_OVER_ERROR * math.sqrt(2 * (1 - fidelity.tolerance))
    if fidelity.relative_diff is None or fidelity.relative_diff > allowed:
        return (
            f"outputs differ from {fidelity.reference} by up to {fidelity.max_abs_diff:.3g}, more "
            f"than {allowed:.0%} of its largest value, the most for this precision"
        )
    return ""


def within(fidelity: Fidelity) -> bool:
    """Whether the outputs are still the model's, at the precision they were compared for."""
    return not complaint(fidelity)


def _check_shapes(reference: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    if missing := sorted(set(reference) - set(outputs)):
        raise DivergedError(
            f"no output is called {missing[0]!r}", f"the engine gave: {', '.join(sorted(outputs))}"
        )
    for name, truth in reference.items():
        wanted, got = np.shape(truth), np.shape(outputs[name])
        if wanted != got:
            raise DivergedError(
                f"{name} has shape {list(got)}, the reference {list(wanted)}",
                "the artifact may be of another model or task: clear the cache and try again",
            )


def _sequences(
    name: str, reference: Mapping[str, Any], outputs: Mapping[str, Any], mask: Any
) -> Iterator[tuple[Floats, Floats]]:
    """Pairs of [rows, width] in float64, one sequence at a time: a vocabulary is wide.

    Padding is left out: nobody reads it, and engines fill it as they like.
    """
    truth, got = np.asarray(reference[name]), np.asarray(outputs[name])
    real = None if mask is None else np.asarray(mask).astype(bool)
    per_token = truth.ndim >= 3 or (truth.ndim == 2 and name in _SPANS)
    if truth.ndim < 2 or (truth.ndim == 2 and truth.shape[1] == 1):
        # One score per sequence: only all of them together have a direction.
        yield _as_float(truth).reshape(1, -1), _as_float(got).reshape(1, -1)
        return
    for index in range(len(truth)):
        pair = _as_float(truth[index]), _as_float(got[index])
        if per_token and real is not None and real.shape == truth.shape[:2]:
            pair = pair[0][real[index]], pair[1][real[index]]
        width = pair[0].shape[-1]
        yield pair[0].reshape(-1, width), pair[1].reshape(-1, width)


def _as_float(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _least_cosine(truth: Floats, got: Floats) -> float:
    """The least cosine of any row. Two zero vectors agree; a zero vector and another do not."""
    if truth.size == 0:
        return 1.0
    if truth.shape[1] < _NARROW:
        truth, got = truth.reshape(1, -1), got.reshape(1, -1)
    dots = np.einsum("ij,ij->i", truth, got)
    norms = np.linalg.norm(truth, axis=1), np.linalg.norm(got, axis=1)
    product = norms[0] * norms[1]
    same = (norms[0] == 0) & (norms[1] == 0)
    cosines = np.where(same, 1.0, dots / np.where(product == 0, 1.0, product))
    return float(np.clip(cosines, -1, 1).min())
