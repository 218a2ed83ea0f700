"""The inputs of a Case: random ids, drawn lengths or texts, batched by its padding policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from honed import length_spec
from honed.case import Case
from honed.models.calibration import SEED
from honed.models.checkpoint import Checkpoint
from honed.models.draw_lengths import batches_for, drawn, longest
from honed.models.histogram import read_histogram
from honed.models.inputs import InputSet, drawn_inputs, random_inputs, tokenised_inputs
from honed.models.knobs.padding import KNOBS, Padding


def padding_of(case: Case) -> Padding:
    """The Case's padding policy; its seed orders sorted batches and makes the ids."""
    return Padding.of(case.knobs, case.sequence_length, case.seed)


def about(case: Case) -> dict[str, Any]:
    """The part of the inputs' cache key that lengths and padding decide; empty without them."""
    facts: dict[str, Any] = {k.name: v for k in KNOBS if (v := case.get(k.name)) is not None}
    if facts:
        facts["seed"] = case.seed
    if case.lengths is not None:
        spec = length_spec.parse(case.lengths)
        is_file = spec.kind == "histogram"
        facts["lengths"] = read_histogram(Path(spec.path)) if is_file else case.lengths
    return facts


def random_ids(case: Case, checkpoint: Checkpoint, least_batches: int) -> InputSet:
    """Random ids of the Case's lengths. Without a distribution every sequence has full length,
    and `least_batches` are enough; a distribution needs more."""
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
    """Random ids of the Case's lengths, one sequence a batch, from a seed that no Case uses.

    They do not depend on the Case's batch size or padding.
    """
    if case.lengths is None:
        return random_inputs(checkpoint, 1, case.sequence_length, SEED, batches=sequences)
    lengths = drawn(case.lengths, sequences, case.sequence_length, SEED)
    return drawn_inputs(checkpoint, lengths, 1, Padding(seed=SEED), _source(case))


def _source(case: Case) -> str:
    assert case.lengths is not None
    longest_length = longest(case.lengths)
    cut = longest_length is None or longest_length > case.sequence_length
    end = f", cut at {case.sequence_length}" if cut else ""
    spec = length_spec.parse(case.lengths)
    return f"random ids, lengths {Path(spec.path).name or spec}{end}"
