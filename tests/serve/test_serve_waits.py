"""Waits: what was learned about one class of lengths is said of that class alone."""

from __future__ import annotations

import pytest

from honed.models.knobs.padding import Padding
from honed.serve.cost import CostModel
from honed.serve.dispatch.base import Rules
from honed.serve.waits import Waits

MODEL = CostModel(fixed_s=0.001, token_s=0.00002, square_s=1e-8)


def waits() -> Waits:
    return Waits(Rules(MODEL, 512, Padding().width, 1024, 16, 0.05))


def test_the_backlog_is_the_wait_until_something_was_learned() -> None:
    assert waits().of(100, 0.5) == 0.5


def test_short_and_long_texts_learn_apart() -> None:
    learned = waits()
    for _ in range(200):
        learned.learn(8, backlog_s=0.4, waited_s=0.1)
        learned.learn(500, backlog_s=0.4, waited_s=0.6)
    assert learned.of(9, 1.0) == pytest.approx(0.25, rel=0.01)
    assert learned.of(480, 1.0) == pytest.approx(1.5, rel=0.01)
    assert learned.to_answer([8, 500, 8], 1.0, now_s=0.0) == pytest.approx(1.5, rel=0.01)
    assert learned.to_answer([8], 1.0, now_s=0.0) == pytest.approx(0.25, rel=0.01)


def test_a_class_that_came_lately_counts_for_the_admission_of_all() -> None:
    learned = waits()
    for _ in range(200):
        learned.learn(8, backlog_s=0.4, waited_s=0.1)
        learned.learn(500, backlog_s=0.4, waited_s=0.6)
    learned.came([500], takes_s=0.02, now_s=1.0)
    assert learned.to_answer([8], 1.0, now_s=10.9) == pytest.approx(1.5, rel=0.01)
    assert learned.to_answer([8], 1.0, now_s=11.1) == pytest.approx(0.25, rel=0.01)


def test_a_class_that_was_never_computed_counts_for_its_own_texts_alone() -> None:
    learned = waits()
    for _ in range(200):
        learned.learn(8, backlog_s=0.4, waited_s=0.1)
    learned.came([500], takes_s=0.02, now_s=1.0)
    assert learned.to_answer([8], 1.0, now_s=1.0) == pytest.approx(0.25, rel=0.01)
    assert learned.to_answer([500], 1.0, now_s=1.0) == 1.0


def test_small_requests_leave_room_for_the_largest_that_came_lately() -> None:
    asked = waits()
    for takes_s in (0.01, 2.0, 0.01):
        asked.came([8], takes_s, now_s=1.0)
    assert asked.takes(0.01, limit_s=10.0, now_s=1.0) == 2.0
    assert asked.takes(3.0, limit_s=10.0, now_s=1.0) == 3.0
    assert asked.takes(0.01, limit_s=1.0, now_s=1.0) == 0.5
    asked.came([8], 0.02, now_s=12.0)  # the time before this one still counts
    assert asked.takes(0.01, limit_s=10.0, now_s=12.0) == 2.0
    assert asked.takes(0.01, limit_s=10.0, now_s=22.5) == 0.02
    assert asked.takes(0.01, limit_s=10.0, now_s=99.0) == 0.01


def test_one_odd_wait_changes_little() -> None:
    learned = waits()
    learned.learn(8, backlog_s=0.4, waited_s=1e6)
    assert learned.of(8, 1.0) < 1.2
    learned.learn(8, backlog_s=0.0, waited_s=1.0)
    learned.learn(8, backlog_s=0.4, waited_s=0.0)
    assert 0.8 < learned.of(8, 1.0) < 1.2
