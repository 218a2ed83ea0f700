"""Groups: which lengths are whose, and when an idle worker helps the workers of another size."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.simulated_dispatch import scaled
from honed.models.knobs.padding import Padding
from honed.serve.cost import CostModel
from honed.serve.dispatch.base import Rules, load_policy
from honed.serve.groups import Group, Surplus, divide, edges_of, longest_help_s, range_words
from honed.serve.tickets import Item, Ticket, Tokens

PERFECT = CostModel(fixed_s=0.0, token_s=1e-4, square_s=0.0)


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def group(cores: int, workers: int = 1) -> Group:
    rules = Rules(scaled(cores), 512, Padding().width, 4096, 64, 0.05)
    return Group(rules, load_policy("by_length"), workers, cores)


def item(loop: asyncio.AbstractEventLoop, length: int, of: Group) -> Item:
    ticket = Ticket(loop.create_future(), False, 0.0, 1e9)
    tokens = Tokens(np.zeros(length, np.int32))
    return Item(ticket, 0, tokens, length, of.backlog.share_s(length), 0.0, 0.0)


def test_longer_texts_belong_to_larger_instances() -> None:
    short, medium, last = edges_of({cores: scaled(cores) for cores in (8, 16, 24)}, 512)
    assert short is not None
    assert medium is not None
    assert 32 <= short < medium < 384
    assert last is None


def test_every_size_keeps_a_class_of_its_own() -> None:
    """Where any number of cores is used perfectly, and where more cores help nothing."""
    perfect = {n: replace(PERFECT, token_s=PERFECT.token_s / n) for n in (1, 2, 4)}
    none = dict.fromkeys((1, 2, 4), PERFECT)
    for models in (perfect, none):
        first, second, last = edges_of(models, 512)
        assert first is not None
        assert second is not None
        assert 0 < first < second < 512
        assert last is None
    assert edges_of(perfect, 512)[0] == PERFECT.edges(512)[0]
    assert edges_of(none, 512)[:2] == list(PERFECT.edges(512)[-3:-1])


def test_one_size_takes_every_text() -> None:
    alone = group(8, workers=6)
    divide([alone])
    assert (alone.over, alone.up_to) == (0, None)


def test_groups_divide_all_lengths() -> None:
    groups = [group(8), group(16), group(24)]
    divide(groups)
    assert groups[0].over == 0
    assert [each.over for each in groups[1:]] == [each.up_to for each in groups[:2]]
    assert groups[2].up_to is None


@pytest.mark.parametrize(
    ("over", "up_to", "words"),
    [(0, None, ""), (0, 32, "up to 32 tokens"), (32, 384, "33 to 384 tokens"),
     (384, None, "from 385 tokens")],
)  # fmt: skip
def test_lengths_have_words(over: int, up_to: int | None, words: str) -> None:
    assert range_words(over, up_to) == words


def test_an_idle_worker_takes_what_it_would_answer_sooner(loop: asyncio.AbstractEventLoop) -> None:
    small, large = group(8), group(24)
    waiting = [item(loop, 500, large) for _ in range(12)]
    for each in waiting:
        large.backlog.add(each.length)
        large.queue.add(each)
    here_s, there_s = small.alone_s(500), large.alone_s(500)
    share = Surplus(large, small, workers=1, free_s=0.001, most_s=1.0)
    taken = large.queue.take(share)
    assert taken
    first = waiting.index(taken[0])
    share_s = waiting[0].cost_s
    assert 0.001 + (first - 1) * share_s + there_s <= here_s < 0.001 + first * share_s + there_s
    assert large.queue.take(Surplus(large, small, 1, 0.001, most_s=0.5 * here_s)) == []


def test_a_single_text_is_left_to_workers_that_are_soon_free(
    loop: asyncio.AbstractEventLoop,
) -> None:
    small, large = group(8), group(24)
    only = item(loop, 500, large)
    large.backlog.add(500)
    large.queue.add(only)
    assert large.queue.take(Surplus(large, small, 1, 0.001, 1.0)) == []
    assert large.queue.take(Surplus(large, small, 1, 1.0, 1.0)) == [only]


def test_a_worker_whose_texts_come_is_not_busy_with_others_for_long() -> None:
    helping = group(8)
    helping.up_to = 64
    assert longest_help_s(helping, 5.0) == float("inf")
    helping.came_s = 5.0
    assert longest_help_s(helping, 5.01) == 4 * helping.alone_s(64)
    assert longest_help_s(helping, 6.0) == 1.0
