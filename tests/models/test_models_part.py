"""A part of the batches: the same for every setting, with the mean and the spread of all."""

from __future__ import annotations

import numpy as np
import pytest

from honed.models.draw_lengths import batches_for, drawn
from honed.models.inputs import InputSet
from honed.models.knobs.padding import Padding
from honed.models.part import part, tail


def batched(lengths: tuple[int, ...], batch_size: int, policy: str = "longest") -> InputSet:
    batches = []
    for group in Padding(policy, None, 512).groups(lengths, batch_size):
        mask = np.zeros((len(group.rows), group.width), np.int64)
        for place, row in enumerate(group.rows):
            mask[place, : lengths[row]] = 1
        batches.append({"input_ids": mask, "attention_mask": mask})
    return InputSet(tuple(batches), lengths, "x")


def works(inputs: InputSet) -> list[int]:
    return [int(b["input_ids"].size + b["attention_mask"].sum()) for b in inputs.batches]


@pytest.mark.parametrize("spec", ["8..512", "lognormal(60,40)", "lognormal(120,80)"])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("policy", ["longest", "sorted"])
def test_a_part_has_the_mean_and_the_median_of_all(
    spec: str, batch_size: int, policy: str
) -> None:
    lengths = drawn(spec, batches_for(batch_size) * batch_size, 512, 0)
    inputs = batched(lengths, batch_size, policy)
    every, places = works(inputs), part(inputs, 16)
    assert len(set(places)) == min(16, len(every))
    assert list(places) == sorted(places)
    few = [every[place] for place in places]
    assert np.mean(few) == pytest.approx(np.mean(every), rel=0.02)
    assert np.median(few) == pytest.approx(np.median(every), rel=0.1)


def test_where_there_are_no_more_batches_all_are_taken() -> None:
    inputs = batched((5, 9, 2), 1)
    assert part(inputs, None) == part(inputs, 3) == part(inputs, 8) == (0, 1, 2)


def test_groups_need_not_divide_the_batches_evenly() -> None:
    inputs = batched(tuple(range(1, 14)), 1)
    places = part(inputs, 8)
    assert len(set(places)) == 8
    assert np.mean([works(inputs)[place] for place in places]) == pytest.approx(14, rel=0.05)


def test_the_tail_is_larger_than_99_in_100() -> None:
    assert tail(batched((3, 9, 200, 4), 1)) == 2
    assert tail(batched(tuple(range(1, 201)), 1)) == 197
