"""The backlog: the predicted time of what waits."""

from __future__ import annotations

import pytest

from honed.models.knobs.padding import Padding
from honed.serve.backlog import Backlog
from honed.serve.cost import CostModel
from honed.serve.dispatch.base import Rules

MODEL = CostModel(fixed_s=0.01, token_s=0.0001, square_s=0.0)


def backlog(batch_rows: int) -> Backlog:
    return Backlog(Rules(MODEL, 512, Padding().width, 1_000_000, batch_rows, 1e9))


@pytest.mark.parametrize(("rows", "calls"), [(1, 10), (4, 3), (64, 1)])
def test_the_fixed_cost_counts_once_for_each_batch(rows: int, calls: int) -> None:
    waiting = backlog(rows)
    for _ in range(10):
        waiting.add(8)
    assert waiting.seconds() == pytest.approx(calls * 0.01 + 10 * 8 * 0.0001)
    assert waiting.seconds_of([8] * 10) == pytest.approx(waiting.seconds())


def test_what_leaves_is_not_waited_for() -> None:
    waiting = backlog(4)
    for length in (8, 100, 512, 9):
        waiting.add(length)
    for length in (9, 512, 8, 100):
        waiting.remove(length)
    assert waiting.seconds() == 0.0


def test_a_share_of_a_full_batch_holds_a_share_of_the_fixed_cost() -> None:
    assert backlog(4).share_s(8) == pytest.approx(0.01 / 4 + 8 * 0.0001)
