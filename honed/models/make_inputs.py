"""What a Case is fed: its random ids, drawn lengths or texts, in batches by its padding policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from honed import length_spec as words
from honed.case import Case
from honed.models.checkpoint import Checkpoint
from honed.models.draw_lengths import batches_for, drawn
from honed.models.histogram import read_histogram
from honed.models.inputs import InputSet, drawn_inputs, random_inputs, tokenised_inputs
from honed.models.knobs.padding import KNOBS, Padding

# Far from the small numbers that people seed a Case with.
_CALIBRATION_SEED = 0x0CA11B
_PADDING_KEYS = tuple(knob.name for knob in KNOBS)


def padding_of(case: Case) -> Padding:
    """The Case's padding policy; its seed orders sorted batches and makes the ids."""
    return Padding.of(case.knobs, case.sequence_length, case.seed)


def about(case: Case) -> dict[str, Any]:
    """What lengths and padding add to that which decides the inputs; empty without them."""
    found: dict[str, Any] = {k: case.get(k) for k in _PADDING_KEYS if case.get(k) is not None}
    if found:
        found["seed"] = case.seed
    if case.lengths is not None:
        asked = words.parse(case.lengths)
        found["lengths"] = _weights(asked) if asked.kind == "histogram" else case.lengths
    return found


def random_ids(case: Case, checkpoint: Checkpoint, least_batches: int) -> InputSet:
    """Without a distribution every sequence is full, and few batches do."""
    if case.lengths is None:
        return random_inputs(
            checkpoint, case.batch_size, case.sequence_length, case.seed, batches=least_batches
        )
    count = batches_for(case.batch_size) * case.batch_size
    lengths = drawn(case.lengths, count, case.sequence_length, case.seed)
    return drawn_inputs(checkpoint, lengths, case.batch_size, padding_of(case), _source(case))


def from_texts(case: Case, checkpoint: Checkpoint, texts: Sequence[str]) -> InputSet:
    return tokenised_inputs(
        checkpoint, texts, case.batch_size, case.sequence_length, padding_of(case)
    )


def calibration(case: Case, checkpoint: Checkpoint, sequences: int) -> InputSet:
    """Random ids of the Case's lengths, a sequence a batch, by a seed that no Case is fed with.

    The batch size and the padding of the Case change nothing about them.
    """
    seed = _CALIBRATION_SEED
    if case.lengths is None:
        return random_inputs(checkpoint, 1, case.sequence_length, seed, batches=sequences)
    lengths = drawn(case.lengths, sequences, case.sequence_length, seed)
    return drawn_inputs(checkpoint, lengths, 1, Padding(seed=seed), _source(case))


def _source(case: Case) -> str:
    assert case.lengths is not None
    asked = words.parse(case.lengths)
    longest = max(_weights(asked)) if asked.kind == "histogram" else asked.longest
    cut = longest is None or longest > case.sequence_length
    end = f", cut at {case.sequence_length}" if cut else ""
    return f"random ids, lengths {asked}{end}"


def _weights(asked: words.Lengths) -> dict[int, float]:
    return read_histogram(Path(asked.path))
