"""What a setting's accuracy is judged on: batches, and what is known about their sequences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed.models.checkpoint import Checkpoint
from honed.models.evaluation.examples import Examples
from honed.models.heads import input_names
from honed.models.inputs import Ids, InputSet, random_inputs
from honed.models.tokenizer import Encoded, Text, encode

RANDOM_SEQUENCES = 128
TEXTS = 256
_RANDOM_LONGEST = 128  # random ids of more say nothing more, and the reference takes its time
_WIDTHS = 16
_SEED = 0xACC  # apart from what Cases are seeded with


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known about the sequences; see Examples.

    `kind` "outputs": nothing is, and the reference's outputs are the truth. A word's item holds
    the place of its first token.
    """

    kind: str
    metric: str
    source: str
    items: tuple[tuple[int, int], ...] = ()
    truth: tuple[float, ...] = ()
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`order`: which sequence each row of the batches is (those of like length share a batch)."""

    judged: Judged
    batches: tuple[dict[str, Ids], ...]
    order: tuple[int, ...]

    def save(self, folder: Path) -> None:
        lengths = tuple(int(n) for b in self.batches for n in b["attention_mask"].sum(axis=1))
        InputSet(self.batches, lengths, self.judged.source).save(folder / "inputs.npz")
        facts = {**asdict(self.judged), "order": self.order}
        (folder / "judged.json").write_text(json.dumps(facts))

    @classmethod
    def load(cls, folder: Path) -> Evaluation:
        facts = json.loads((folder / "judged.json").read_text())
        order = tuple(facts.pop("order"))
        batches = InputSet.load(folder / "inputs.npz").batches
        return cls(_judged(facts), batches, order)


def load_judged(folder: Path) -> Judged:
    """Without the batches."""
    facts = json.loads((folder / "judged.json").read_text())
    del facts["order"]
    return _judged(facts)


def _judged(facts: dict[str, Any]) -> Judged:
    items = tuple((int(a), int(b)) for a, b in facts.pop("items"))
    truth, groups = tuple(facts.pop("truth")), tuple(facts.pop("groups"))
    return Judged(**facts, items=items, truth=truth, groups=groups)


def of_examples(
    checkpoint: Checkpoint, examples: Examples, batch_size: int, longest: int, source: str
) -> Evaluation:
    """Labelled examples through the tokenizer, cut at `longest` tokens."""
    words = examples.kind == "words"
    encoded = encode(checkpoint, examples.sequences, longest, words=words)
    facts = examples.items, examples.truth, examples.groups
    if words:
        facts = _words_seen(examples, encoded)
    judged = Judged(examples.kind, examples.metric, source, *facts)
    return _batched(checkpoint, encoded, judged, batch_size)


def of_texts(
    checkpoint: Checkpoint, texts: Sequence[Text], batch_size: int, longest: int
) -> Evaluation:
    """Texts about which nothing is known: at most TEXTS of them, from all over."""
    if len(texts) > TEXTS:
        texts = [texts[index * len(texts) // TEXTS] for index in range(TEXTS)]
    encoded = encode(checkpoint, texts, longest)
    return _batched(checkpoint, encoded, Judged("outputs", "", "texts"), batch_size)


def of_random_ids(checkpoint: Checkpoint, batch_size: int, length: int) -> Evaluation:
    """Seeded ids, other ones than those that are timed or calibrated on."""
    length = min(length, _RANDOM_LONGEST)
    count = -(-RANDOM_SEQUENCES // batch_size)
    found = random_inputs(checkpoint, batch_size, length, _SEED, batches=count)
    order = tuple(range(count * batch_size))
    return Evaluation(Judged("outputs", "", found.source), found.batches, order)


def _words_seen(examples: Examples, encoded: Encoded) -> tuple[Any, Any, Any]:
    """Words by their first token; those behind the cut are not judged."""
    first: dict[tuple[int, int], int] = {}
    for sequence, owners in enumerate(encoded.words):
        for token, word in enumerate(owners):
            if word is not None:
                first.setdefault((sequence, word), token)
    seen = [
        ((item[0], first[item]), truth, group)
        for item, truth, group in zip(examples.items, examples.truth, examples.groups, strict=True)
        if item in first
    ]
    items, truth, groups = zip(*seen, strict=True)
    return items, truth, groups


def _batched(
    checkpoint: Checkpoint, encoded: Encoded, judged: Judged, batch_size: int
) -> Evaluation:
    """Sequences of like length together, in widths of few kinds: some engines compile each one.

    The last batch may be smaller.
    """
    longest = max(1, *(len(row) for row in encoded.ids))
    order = sorted(range(len(encoded.ids)), key=lambda row: len(encoded.ids[row]))
    names = input_names(checkpoint)
    made = []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        width = min(longest, -(-len(encoded.ids[rows[-1]]) // _WIDTHS) * _WIDTHS or 1)
        every = {
            "input_ids": _padded([encoded.ids[r] for r in rows], encoded.padding_id, width),
            "attention_mask": _padded([[1] * len(encoded.ids[r]) for r in rows], 0, width),
            "token_type_ids": _padded([encoded.segments[r] for r in rows], 0, width),
        }
        made.append({name: every[name] for name in names})
    return Evaluation(judged, tuple(made), tuple(order))


def _padded(rows: Sequence[Sequence[int]], value: int, width: int) -> Ids:
    out = np.full((len(rows), width), value, np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out
