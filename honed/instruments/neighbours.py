"""Put a few texts among other neighbours in a batch, to see whether the engine's outputs change.

Every batch made here has the shape of one of the inputs, because many engines compile or plan for
each shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.instruments import fidelity

Ids = npt.NDArray[np.int64]
Batch = Mapping[str, Ids]  # input name -> [batch, length]
Outputs = Mapping[str, Any]  # output name -> [batch, ...]

# The least cosine between two vectors of one text that differ by its neighbours only.
# fp32 and bf16: kernels choose their blocks by the shape, so sums are added in another order.
# int8 and int4 with ranges that are fixed, or found for each row: such a difference moves a few
# values to the next of 256 levels. Ranges that are found over the whole batch move all of them.
TOLERANCES: Mapping[str, float] = {
    "fp32": 0.99999,
    "fp16": 0.9999,
    "bf16": 0.999,
    "int8": 0.999,
    "int4": 0.999,
}
# How many texts are called; each costs two or three calls. Rounding errs alike in every text, and
# int8 is the faster.
_TEXTS = {"fp32": 1, "fp16": 1, "bf16": 1}
_TEXTS_OF_INTEGERS = 4
_SPANS = ("start_logits", "end_logits")  # [batch, length]


@dataclass(frozen=True, slots=True)
class Text:
    """One sequence of the inputs without its padding, and the batch and row that hold it."""

    ids: Mapping[str, Ids]  # input name -> [length]
    batch: int
    row: int

    @property
    def length(self) -> int:
        return len(self.ids["attention_mask"])


@dataclass(frozen=True, slots=True)
class Placing:
    """A batch, and the rows in which it holds texts: text's number -> row."""

    batch: Batch
    rows: Mapping[int, int]


def texts_for(precision: str) -> int:
    """How many texts tell whether a precision depends on neighbours."""
    return _TEXTS.get(precision, _TEXTS_OF_INTEGERS)


def least_cosine(
    batches: Sequence[Batch], padding_id: int, call: Callable[[Batch], Outputs], count: int
) -> float | None:
    """The least cosine between the outputs that one of `count` texts gets alone, in the batch that
    holds it and in the widest batch. None where texts have no neighbours, or no tokens."""
    if any(len(batch["input_ids"]) == 1 for batch in batches):
        return None
    texts = chosen_texts(batches, count)
    if not texts:
        return None
    ways = (
        alone(texts, batches, padding_id),
        as_given(texts, batches),
        among_the_longest(texts, batches, padding_id),
    )
    outputs = [_outputs_of(texts, placings, call) for placings in ways]
    mask = _stacked([np.ones(text.length, bool) for text in texts])
    pairs = ((0, 1), (0, 2), (1, 2))
    return min(
        fidelity.compare(outputs[one], outputs[other], "fp32", mask).cosine_min
        for one, other in pairs
    )


def chosen_texts(batches: Sequence[Batch], count: int) -> list[Text]:
    """Texts of the inputs, spread from the shortest to the longest."""
    lengths = [
        (int(length), place, row)
        for place, batch in enumerate(batches)
        for row, length in enumerate(batch["attention_mask"].sum(axis=1))
        if length
    ]
    if not lengths:
        return []
    ordered = sorted(lengths)
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return [_text(batches, place, row) for _, place, row in (ordered[p] for p in places)]


def alone(texts: Sequence[Text], batches: Sequence[Batch], padding_id: int) -> list[Placing]:
    """Each text as all rows of the narrowest batch that it fits in."""
    made = []
    for number, text in enumerate(texts):
        fitting = (b for b in batches if b["input_ids"].shape[1] >= text.length)
        narrowest = min(fitting, key=lambda b: b["input_ids"].shape[1])
        rows = range(len(narrowest["input_ids"]))
        made.append(Placing(_with(narrowest, dict.fromkeys(rows, text), padding_id), {number: 0}))
    return made


def as_given(texts: Sequence[Text], batches: Sequence[Batch]) -> list[Placing]:
    """The batches that hold the texts, unchanged."""
    rows: dict[int, dict[int, int]] = {}
    for number, text in enumerate(texts):
        rows.setdefault(text.batch, {})[number] = text.row
    return [Placing(batches[place], held) for place, held in rows.items()]


def among_the_longest(
    texts: Sequence[Text], batches: Sequence[Batch], padding_id: int
) -> list[Placing]:
    """The widest batch with the texts in place of its rows; its longest row stays."""
    *_, widest = sorted(batches, key=lambda b: b["input_ids"].shape[1])
    longest = int(widest["attention_mask"].sum(axis=1).argmax())
    free = [row for row in range(len(widest["input_ids"])) if row != longest]
    made = []
    for start in range(0, len(texts), len(free)):
        numbers = range(start, min(start + len(free), len(texts)))
        rows = dict(zip(numbers, free, strict=False))
        placed = {row: texts[number] for number, row in rows.items()}
        made.append(Placing(_with(widest, placed, padding_id), rows))
    return made


def find_padding_id(batches: Sequence[Batch], otherwise: int) -> int:
    """The id that fills the batches; `otherwise` where no sequence is padded."""
    for batch in batches:
        padded = batch["attention_mask"] == 0
        if padded.any():
            return int(batch["input_ids"][padded][0])
    return otherwise


def _text(batches: Sequence[Batch], place: int, row: int) -> Text:
    real = batches[place]["attention_mask"][row] == 1
    return Text({name: ids[row][real] for name, ids in batches[place].items()}, place, row)


def _with(batch: Batch, texts: Mapping[int, Text], padding_id: int) -> Batch:
    """The batch with other texts in some of its rows."""
    changed = {name: ids.copy() for name, ids in batch.items()}
    for row, text in texts.items():
        for name, ids in changed.items():
            ids[row] = padding_id if name == "input_ids" else 0
            ids[row, : text.length] = text.ids[name]
    return changed


def _outputs_of(
    texts: Sequence[Text], placings: Sequence[Placing], call: Callable[[Batch], Outputs]
) -> dict[str, Any]:
    """What each text got, without its padding, in the order of the texts."""
    rows: dict[int, dict[str, Any]] = {}
    for placing in placings:
        width = placing.batch["input_ids"].shape[1]
        outputs = {name: np.asarray(array) for name, array in call(placing.batch).items()}
        for number, row in placing.rows.items():
            length = texts[number].length
            rows[number] = {
                name: (
                    array[row, :length] if _is_per_token(name, array, width) else array[row]
                ).copy()
                for name, array in outputs.items()
            }
    return {name: _stacked([rows[n][name] for n in range(len(texts))]) for name in rows[0]}


def _is_per_token(name: str, array: Any, width: int) -> bool:
    return (array.ndim >= 3 or name in _SPANS) and array.shape[1] == width


def _stacked(arrays: Sequence[Any]) -> Any:
    """One array; shorter ones are filled up with zeros at the end of their first axis."""
    if np.ndim(arrays[0]) == 0:
        return np.stack(arrays)
    longest = max(len(array) for array in arrays)
    return np.stack(
        [np.pad(a, [(0, longest - len(a))] + [(0, 0)] * (np.ndim(a) - 1)) for a in arrays]
    )
