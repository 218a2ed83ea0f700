"""Labelled examples from a .jsonl file, on which the user's metric is computed.

Errors name the line that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from honed.errors import UsageError
from honed.models.checkpoint import Checkpoint
from honed.models.evaluation.labels import Labels
from honed.models.evaluation.rows import Row, number_of, rows_of
from honed.models.tasks import FEATURES, is_multi_label
from honed.models.texts import refuse_unreadable

Kind = Literal["labels", "several", "words", "pairs", "scores"]
Sequence_ = str | tuple[str, ...]

# The names that public data sets use for the same field.
_FIRST = ("text", "text1", "sentence", "sentence1", "premise")
_SECOND = ("text2", "sentence2", "hypothesis")
_SCORE = ("score", "similarity", "label")
_POSITIVE = ("positive", "positives")
_NEGATIVE = ("negative", "negatives")
_WORDS = ("tokens", "words")
_SEVERAL = ("labels", "label")
_TAGS = ("labels", "tags", "ner_tags")
_LEAST = 10  # with fewer, one example is more than a tenth of the result


@dataclass(frozen=True, slots=True)
class Examples:
    """Sequences, and what is known to be right about them.

    `truth` holds a value for each of `items`. An item is a pair of numbers, depending on `kind`:

    - "labels": (sequence, 0), whose value is the sequence's label;
    - "several": (sequence, label), whose value tells whether the sequence has the label;
    - "words": (sequence, word), whose value is the word's label;
    - "pairs": (sequence, sequence), whose value is their similarity;
    - "scores": (sequence, 0), whose value is the score of one sequence.

    Items of one example share a number in `groups`: a query's candidates, a sentence's words.
    """

    kind: Kind
    metric: str
    sequences: tuple[Sequence_, ...]
    items: tuple[tuple[int, int], ...]
    truth: tuple[float, ...]
    groups: tuple[int, ...]


def read_examples(path: Path, checkpoint: Checkpoint, metric: str = "auto") -> Examples:
    """The examples in the file, for the checkpoint's task.

    UsageError where the file does not fit the task, or where every model would score the same.
    """
    rows = list(rows_of(path))
    if len(rows) < _LEAST:
        raise UsageError(
            f"{path} holds {len(rows)} examples: too few to judge anything",
            f"give {_LEAST} or more; a drop of 1 % needs some hundreds",
        )
    read = {
        "sequence-classification": _sequences,
        "token-classification": _tokens,
        FEATURES: _features,
    }.get(checkpoint.task)
    if read is None:
        raise UsageError(
            f"task={checkpoint.task} cannot be judged on labelled examples",
            "leave eval out: max_accuracy_drop then compares the outputs with fp32's",
        )
    return _with_metric(read(_File(path, rows), checkpoint), metric)


# The metrics for each kind of truth. The first is the default.
_METRICS: Mapping[str, tuple[str, ...]] = {
    "labels": ("accuracy", "f1"),
    "several": ("micro_f1", "macro_f1", "exact_match"),
    "words": ("f1", "accuracy"),
    "similarity": ("spearman",),
    "ranking": ("ndcg",),
    "order": ("rank_overlap",),
}


def _with_metric(examples: Examples, metric: str) -> Examples:
    possible = _METRICS[examples.metric]
    if metric != "auto" and metric not in possible:
        raise UsageError(
            f"eval_metric={metric} cannot be computed from these examples",
            f"eval_metric={' or '.join(possible)}",
        )
    return replace(examples, metric=possible[0] if metric == "auto" else metric)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    rows: Sequence[Row]

    @property
    def first(self) -> Row:
        return self.rows[0]


def _sequences(file: _File, checkpoint: Checkpoint) -> Examples:
    """Labels. A head with a single score is judged by similarities or by rankings instead."""
    if Labels.of(checkpoint.config).count > 1 or is_multi_label(
        checkpoint.task, checkpoint.config
    ):
        return _labelled(file, checkpoint)
    return _ranked(file, alone=True) if "query" in file.first.data else _alike(file, alone=True)


def _features(file: _File, checkpoint: Checkpoint) -> Examples:
    if checkpoint.pooling == "none":
        raise UsageError(
            "without pooling there is no single vector per text to compare",
            "add pooling=mean",
        )
    if "query" in file.first.data:
        return _ranked(file, alone=False)
    if file.first.has(_SECOND) is None:
        raise UsageError(
            f"{file.first.where}: vectors are judged by pairs or by rankings",
            "give text, text2 and score; or query, positive and negatives",
        )
    return _alike(file, alone=False)


def _labelled(file: _File, checkpoint: Checkpoint) -> Examples:
    labels = Labels.of(checkpoint.config)
    if is_multi_label(checkpoint.task, checkpoint.config):
        return _with_several_labels(file, labels)
    sequences = [_one_or_two(row) for row in file.rows]
    truth = []
    for row in file.rows:
        if "label" not in row.data:
            raise UsageError(
                f"{row.where}: there is no label", f"it has {', '.join(row.data) or 'nothing'}"
            )
        truth.append(labels.index(row.data["label"], row.where))
    _varied(file, truth, labels)
    places = range(len(sequences))
    return Examples(
        "labels", "labels", tuple(sequences), tuple((p, 0) for p in places), tuple(truth),
        tuple(places),
    )  # fmt: skip


def _with_several_labels(file: _File, labels: Labels) -> Examples:
    """Every label of every sequence is an item; its value is twice its place, and one more where
    the sequence has it."""
    items, truth, groups = [], [], []
    for place, row in enumerate(file.rows):
        given = row.list_of(_SEVERAL)
        present = {labels.index(label, row.where) for label in given}
        for label in range(labels.count):
            items.append((place, label))
            truth.append(float(2 * label + (label in present)))
            groups.append(place)
    if len(set(truth)) == labels.count:
        raise UsageError(
            f"{file.path}: every example has the same labels, so always answering them is perfect",
            "add examples of other labels",
        )
    sequences = tuple(_one_or_two(row) for row in file.rows)
    return Examples("several", "several", sequences, tuple(items), tuple(truth), tuple(groups))


def _varied(file: _File, truth: Sequence[int], labels: Labels) -> None:
    if len(set(truth)) == 1:
        name = labels.names[truth[0]]
        raise UsageError(
            f"{file.path}: every example is {name!r}, so always answering it is perfect",
            "add examples of another label",
        )


def _one_or_two(row: Row) -> Sequence_:
    first = row.text(_FIRST)
    return (first, row.text(_SECOND)) if row.has(_SECOND) else first


def _tokens(file: _File, checkpoint: Checkpoint) -> Examples:
    labels = Labels.of(checkpoint.config)
    collected = _Collected()
    for group, row in enumerate(file.rows):
        words, tags = row.list_of(_WORDS), row.list_of(_TAGS)
        if len(words) != len(tags) or not words:
            raise UsageError(
                f"{row.where}: {len(words)} tokens and {len(tags)} labels", "one label per token"
            )
        if not all(isinstance(w, str) and w.strip() for w in words):
            raise UsageError(f"{row.where}: a token is not a text", 'like ["Ada", "wrote"]')
        for word in words:
            refuse_unreadable(word, row.where)
        place = collected.add(tuple(words))
        for position, tag in enumerate(tags):
            collected.know((place, position), labels.index(tag, row.where), group)
    _varied(file, [int(t) for t in collected.truth], labels)
    return collected.examples("words", "words")


def _alike(file: _File, *, alone: bool) -> Examples:
    """Two texts and their similarity. With `alone`, the model reads both texts as one sequence."""
    collected = _Collected()
    for group, row in enumerate(file.rows):
        texts = row.text(_FIRST), row.text(_SECOND)
        collected.compare(texts, row.number(_SCORE), group, alone=alone)
    if len(set(collected.truth)) == 1:
        raise UsageError(
            f"{file.path}: every score is {collected.truth[0]:g}, so there is no order to compare",
            "give examples of different scores",
        )
    return collected.examples("scores" if alone else "pairs", "similarity")


def _ranked(file: _File, *, alone: bool) -> Examples:
    """Queries and their candidates, each with its relevance."""
    collected = _Collected()
    pool = _pool(file, alone=alone)
    candidates_by_row = [_candidates(row, pool) for row in file.rows]
    graded = any(max(candidates.values()) > 0 for candidates in candidates_by_row)
    for group, (row, candidates) in enumerate(zip(file.rows, candidates_by_row, strict=True)):
        if graded and max(candidates.values()) <= 0:
            raise UsageError(f"{row.where}: no candidate is relevant", "give it a positive")
        query = row.text(("query",))
        for text, relevance in candidates.items():
            collected.compare((query, text), relevance, group, alone=alone)
    return collected.examples("scores" if alone else "pairs", "ranking" if graded else "order")


def _pool(file: _File, *, alone: bool) -> list[str]:
    """The candidates of every query where no row lists any: the positives of all rows."""
    if any(row.has(("candidates", *_NEGATIVE)) for row in file.rows):
        return []
    if alone:
        raise UsageError(
            f"{file.first.where}: there are no candidates to rank",
            "give query, positive and negatives; or query, candidates and positive",
        )
    return [text for row in file.rows for text in row.texts(_POSITIVE)]


def _candidates(row: Row, pool: Sequence[str]) -> dict[str, float]:
    """Each candidate with its relevance; 0 where the row gives none."""
    relevances = dict.fromkeys(pool, 0.0)
    if "candidates" in row.data:
        texts = row.texts(("candidates",))
        relevances |= dict.fromkeys(texts, 0.0)
        if "relevance" in row.data:
            graded = row.list_of(("relevance",))
            if len(graded) != len(texts):
                raise UsageError(
                    f"{row.where}: {len(texts)} candidates and {len(graded)} relevances",
                    "one number per candidate",
                )
            numbers = [number_of(g, f"{row.where}: a relevance") for g in graded]
            relevances |= dict(zip(texts, numbers, strict=True))
    if row.has(_NEGATIVE):
        relevances |= dict.fromkeys(row.texts(_NEGATIVE), 0.0)
    if row.has(_POSITIVE):
        relevances |= dict.fromkeys(row.texts(_POSITIVE), 1.0)
    if len(relevances) < 2:
        raise UsageError(
            f"{row.where}: {len(relevances)} candidates cannot be ranked", "give negatives too"
        )
    if len(set(relevances.values())) == 1 and next(iter(relevances.values())) > 0:
        raise UsageError(
            f"{row.where}: every candidate is relevant, so any order is right",
            "give negatives too",
        )
    return relevances


@dataclass(slots=True)
class _Collected:
    """Sequences, each once, and the truths about them."""

    places: dict[Sequence_, int] = field(default_factory=dict)
    items: list[tuple[int, int]] = field(default_factory=list)
    truth: list[float] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)

    def add(self, sequence: Sequence_) -> int:
        return self.places.setdefault(sequence, len(self.places))

    def know(self, item: tuple[int, int], truth: float, group: int) -> None:
        self.items.append(item)
        self.truth.append(truth)
        self.groups.append(group)

    def compare(self, texts: tuple[str, str], truth: float, group: int, *, alone: bool) -> None:
        if alone:
            self.know((self.add(texts), 0), truth, group)
        else:
            self.know((self.add(texts[0]), self.add(texts[1])), truth, group)

    def examples(self, kind: Kind, metric: str) -> Examples:
        parts = tuple(self.items), tuple(self.truth), tuple(self.groups)
        return Examples(kind, metric, tuple(self.places), *parts)
