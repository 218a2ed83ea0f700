"""The memory of one call of attention in closed form, by which a cell that cannot fit is refused.

The counts of tensors are those that torch's own allocator showed on a CPU.
"""

from __future__ import annotations

from honed.case import Case
from honed.step import FORWARD

KEEP_SCORES = ("naive", "compile", "sdpa_math")  # with tensors [batch, heads, length, length]
# Tensors of the size of the queries at the peak of the math kernel, by the bytes of a number: in a
# forward pass alone, in one before a backward pass, and in the backward pass. It computes 16-bit
# inputs in fp32, so it holds most of them twice.
_OF_MATH = {4: (4, 6, 8), 2: (11, 14, 11)}


def peak_bytes(case: Case) -> int:
    """The bytes alive at the peak of a call: inputs, output, gradients, and the scores that the
    implementation keeps. Of compiled code it is the most: torch may replace it by a fused kernel.
    Of a user's function it is what every implementation needs."""
    name, size = str(case.get("attention") or "naive"), 4 if case.precision == "fp32" else 2
    length, backward = case.sequence_length, case.get("until") != FORWARD
    hidden = case.batch_size * length * int(case.get("d_model") or 64) * size
    scores = case.batch_size * int(case.get("num_heads") or 1) * length**2
    pairs = length**2 if case.get("causal") == "on" else 0
    if name not in KEEP_SCORES:
        return (8 if backward else 4) * hidden
    if name == "sdpa_math":
        return _of_math(size, (hidden, scores, pairs), backward=backward)
    kept = (3 if backward else 2) * size
    if name == "compile" and size == 2:
        kept = 2 * 4  # the fused softmax keeps its fp32 numbers
    # Beside queries, keys, values and output, gradients of two are alive when scores are at their
    # peak. The mask has a byte for each pair of tokens.
    return kept * scores + pairs + (6 if backward else 4) * hidden


def _of_math(size: int, counts: tuple[int, int, int], *, backward: bool) -> int:
    """`counts`: the bytes of one input, and how many scores and pairs of tokens in a mask. The
    forward pass holds two fp32 tensors of scores, a truth value for each, and an fp32 mask."""
    hidden, scores, pairs = counts
    alone, before, after = _OF_MATH[size]
    forward = 9 * scores + 4 * pairs
    if not backward:
        return forward + alone * hidden
    return max(forward + before * hidden, 12 * scores + after * hidden)
