"""Sequences on which a setting's accuracy is measured, and what is known to be right for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from honed.models.checkpoint import Checkpoint
from honed.models.evaluation.examples import Examples
from honed.models.inputs import Ids, InputSet, padded_batch, random_inputs
from honed.models.tokenizer import Encoded, Text, encode

RANDOM_SEQUENCES = 128
TEXTS = 256
# Longer random ids would show nothing more, and the reference would take longer.
_RANDOM_LONGEST = 128
_WIDTH_STEP = 16
_SEED = 0xACC  # differs from the seeds of Cases and of calibration
_TRUTHS = "judged.json"


@dataclass(frozen=True, slots=True)
class Truths:
    """What is known to be right for the sequences; see Examples for the fields.

    `kind` is "outputs" where nothing is known: the reference's outputs then are the truth. The
    item of a word holds the place of the word's first token.
    """

    kind: str
    metric: str
    source: str
    items: tuple[tuple[int, int], ...] = ()
    truth: tuple[float, ...] = ()
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Batches and their truths. `order` names the sequence in each row of the batches, because
    sequences of similar length share a batch."""

    truths: Truths
    batches: tuple[dict[str, Ids], ...]
    order: tuple[int, ...]

    def save(self, folder: Path) -> None:
        lengths = tuple(int(n) for b in self.batches for n in b["attention_mask"].sum(axis=1))
        InputSet(self.batches, lengths, self.truths.source).save(folder / "inputs.npz")
        facts = {**asdict(self.truths), "order": self.order}
        (folder / _TRUTHS).write_text(json.dumps(facts))

    @classmethod
    def load(cls, folder: Path) -> EvaluationSet:
        truths, order = _read(folder)
        return cls(truths, InputSet.load(folder / "inputs.npz").batches, order)


def load_truths(folder: Path) -> Truths:
    """The truths of a saved EvaluationSet, without reading its batches."""
    return _read(folder)[0]


def _read(folder: Path) -> tuple[Truths, tuple[int, ...]]:
    facts = json.loads((folder / _TRUTHS).read_text())
    order = tuple(facts.pop("order"))
    items = tuple((int(first), int(second)) for first, second in facts.pop("items"))
    truth, groups = tuple(facts.pop("truth")), tuple(facts.pop("groups"))
    return Truths(**facts, items=items, truth=truth, groups=groups), order


def from_examples(
    checkpoint: Checkpoint, examples: Examples, batch_size: int, longest: int, source: str
) -> EvaluationSet:
    """Labelled examples, tokenised and cut at `longest` tokens."""
    words = examples.kind == "words"
    encoded = encode(checkpoint, examples.sequences, longest, words=words)
    facts = examples.items, examples.truth, examples.groups
    if words:
        facts = _words_within_the_cut(examples, encoded)
    truths = Truths(examples.kind, examples.metric, source, *facts)
    return _batched(checkpoint, encoded, truths, batch_size)


def from_texts(
    checkpoint: Checkpoint, texts: Sequence[Text], batch_size: int, longest: int
) -> EvaluationSet:
    """Unlabelled texts: at most TEXTS of them, evenly spread over all."""
    if len(texts) > TEXTS:
        texts = [texts[index * len(texts) // TEXTS] for index in range(TEXTS)]
    encoded = encode(checkpoint, texts, longest)
    return _batched(checkpoint, encoded, Truths("outputs", "", "texts"), batch_size)


def from_random_ids(checkpoint: Checkpoint, batch_size: int, length: int) -> EvaluationSet:
    """Random ids that differ from those that are timed and from those of calibration. They are the
    same sequences in batches of any size."""
    length = min(length, _RANDOM_LONGEST)
    inputs = random_inputs(checkpoint, RANDOM_SEQUENCES, length, _SEED)
    (whole,) = inputs.batches
    starts = range(0, RANDOM_SEQUENCES, batch_size)
    batches = tuple({k: ids[at : at + batch_size] for k, ids in whole.items()} for at in starts)
    order = tuple(range(RANDOM_SEQUENCES))
    return EvaluationSet(Truths("outputs", "", inputs.source), batches, order)


def _words_within_the_cut(examples: Examples, encoded: Encoded) -> tuple[Any, Any, Any]:
    """Items, truths and groups of the words that were not cut off, by their first tokens."""
    first_token: dict[tuple[int, int], int] = {}
    for sequence, words in enumerate(encoded.words):
        for token, word in enumerate(words):
            if word is not None:
                first_token.setdefault((sequence, word), token)
    remaining = [
        ((item[0], first_token[item]), truth, group)
        for item, truth, group in zip(examples.items, examples.truth, examples.groups, strict=True)
        if item in first_token
    ]
    items, truth, groups = zip(*remaining, strict=True)
    return items, truth, groups


def _batched(
    checkpoint: Checkpoint, encoded: Encoded, truths: Truths, batch_size: int
) -> EvaluationSet:
    """Batches of similar lengths. Their widths are multiples of 16, because some engines compile
    for each width. The last batch may be smaller."""
    lengths = [len(ids) for ids in encoded.ids]
    longest = max(1, *lengths)
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    batches = []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        width = min(longest, -(-lengths[rows[-1]] // _WIDTH_STEP) * _WIDTH_STEP or 1)
        batches.append(padded_batch(checkpoint, encoded, rows, width))
    return EvaluationSet(truths, tuple(batches), tuple(order))
