"""Calibration batches, from which a quantiser chooses its ranges.

They never contain the sequences that outputs are compared on. They do not depend on the Case's
batch size and length, so that one quantised artifact serves every Case.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from honed.models.checkpoint import Checkpoint
from honed.models.inputs import InputSet, random_inputs, tokenised_inputs

# More random ids do not change the ranges visibly: cosine to fp32 on BERT base is 0.9998 with 32.
SEQUENCES = 32
# Texts differ more. MiniLM, quantised by NNCF, least cosine on other texts: 0.958 calibrated on
# random ids alone, 0.942 on 8 texts, 0.986 on 8 texts and random ids, 0.995 on 96 texts.
TEXTS = 96
LONGEST = 128
SEED = 0x0CA11B  # far from the small numbers that people use as a Case's seed


def random_calibration(checkpoint: Checkpoint) -> InputSet:
    """Random ids of three lengths, because ranges depend on how many tokens attention averages."""
    longest = min(LONGEST, checkpoint.max_positions or LONGEST)
    lengths = itertools.cycle((longest, max(1, longest // 2), max(1, longest // 8)))
    made = [
        random_inputs(checkpoint, 1, length, SEED + index)
        for index, length in enumerate(itertools.islice(lengths, SEQUENCES))
    ]
    return InputSet(
        tuple(batch for each in made for batch in each.batches),
        tuple(length for each in made for length in each.lengths),
        "random ids",
    )


def text_calibration(checkpoint: Checkpoint, texts: Sequence[str], judged: int) -> InputSet:
    """One text a batch, taken from all over the file (files are often sorted), and none of the
    first `judged` texts. Random ids are added where there are too few texts."""
    chosen = other_texts(texts, judged)
    random = random_calibration(checkpoint)
    if not chosen:
        source = f"random ids: inputs= has only {len(texts)} texts"
        return InputSet(random.batches, random.lengths, source)
    longest = min(LONGEST, checkpoint.max_positions or LONGEST)
    tokenised = tokenised_inputs(checkpoint, chosen, 1, longest)
    if len(chosen) == TEXTS:
        return tokenised
    source = f"{len(chosen)} texts and random ids"
    return InputSet(tokenised.batches + random.batches, tokenised.lengths + random.lengths, source)


def other_texts(texts: Sequence[str], judged: int) -> list[str]:
    """At most TEXTS different texts, evenly spread over all that follow the first `judged`."""
    seen = set(texts[:judged])
    others = [text for text in dict.fromkeys(texts[judged:]) if text not in seen]
    if len(others) <= TEXTS:
        return others
    return [others[index * len(others) // TEXTS] for index in range(TEXTS)]
