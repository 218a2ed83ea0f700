"""Policies: which texts make a batch. Every policy keeps the rules that its room promises."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from honed.models.knobs.padding import Padding
from honed.serve.cost import CostModel
from honed.serve.dispatch.base import Lengths, Rules, load_policy, policy_names
from honed.serve.dispatch.by_length import best_batches
from honed.serve.tickets import Item, Ticket, Tokens

MODEL = CostModel(fixed_s=0.001, token_s=0.00002, square_s=1e-8)
LENGTHS = [5, 300, 7, 12, 512, 40, 6, 90, 33, 250, 8, 500, 16, 16, 64, 11] * 4


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def rules(**changes: object) -> Rules:
    base = {"model": MODEL, "longest": 512, "width": Padding().width, "batch_tokens": 1024,
            "batch_rows": 16, "quantum_s": 0.05}  # fmt: skip
    return Rules(**{**base, **changes})


def item(
    loop: asyncio.AbstractEventLoop,
    length: int,
    arrived_s: float = 0.0,
    *,
    per_token: bool = False,
) -> Item:
    import numpy as np

    ticket = Ticket(loop.create_future(), per_token, arrived_s, 1e9)
    tokens = Tokens(np.zeros(length, np.int32))
    cost_s = MODEL.row_s(length) + MODEL.fixed_s * length / 1024
    return Item(ticket, 0, tokens, length, cost_s, arrived_s, arrived_s)


@pytest.mark.parametrize("policy", policy_names())
def test_every_text_is_taken_once(policy: str, loop: asyncio.AbstractEventLoop) -> None:
    every = Lengths(rules())
    queue = load_policy(policy).make(every.rules)
    items = [item(loop, length) for length in LENGTHS]
    for each in items:
        queue.add(each)
    taken = []
    while batch := queue.take(every):
        taken += batch
    assert sorted(map(id, taken)) == sorted(map(id, items))


@pytest.mark.parametrize("policy", sorted(set(policy_names()) - {"fixed_batch"}))
def test_a_batch_keeps_the_limits(policy: str, loop: asyncio.AbstractEventLoop) -> None:
    bounds = rules()
    every = Lengths(bounds)
    queue = load_policy(policy).make(every.rules)
    for length in LENGTHS:
        queue.add(item(loop, length))
    while batch := queue.take(every):
        width = max(each.length for each in batch)
        assert len(batch) == 1 or len(batch) * width <= bounds.batch_tokens
        assert len(batch) <= bounds.batch_rows
        assert len(batch) == 1 or MODEL.padded_s(len(batch), width) <= bounds.quantum_s


@pytest.mark.parametrize("policy", policy_names())
def test_a_text_over_every_limit_goes_alone(policy: str, loop: asyncio.AbstractEventLoop) -> None:
    """Nothing may wait for a batch that can never be made."""
    every = Lengths(rules(batch_tokens=64, quantum_s=1e-6))
    queue = load_policy(policy).make(every.rules)
    queue.add(item(loop, 512))
    assert len(queue.take(every)) == 1


@pytest.mark.parametrize("policy", policy_names())
def test_texts_that_nobody_waits_for_are_dropped(
    policy: str, loop: asyncio.AbstractEventLoop
) -> None:
    every = Lengths(rules())
    queue = load_policy(policy).make(every.rules)
    items = [item(loop, 10) for _ in range(6)]
    for each in items:
        queue.add(each)
    for each in items[::2]:
        each.ticket.future.cancel()
    assert queue.take(every) == items[1::2]


@pytest.mark.parametrize("policy", policy_names())
def test_outputs_for_tokens_and_for_texts_do_not_share_a_batch(
    policy: str, loop: asyncio.AbstractEventLoop
) -> None:
    every = Lengths(rules())
    queue = load_policy(policy).make(every.rules)
    for number in range(6):
        queue.add(item(loop, 10, per_token=number % 2 == 0))
    while batch := queue.take(every):
        assert len({each.ticket.per_token for each in batch}) == 1


def test_by_length_takes_short_texts_before_long_ones(loop: asyncio.AbstractEventLoop) -> None:
    every = Lengths(rules())
    queue = load_policy("by_length").make(every.rules)
    for length in (500, 500, 8, 9, 500, 7):
        queue.add(item(loop, length))
    assert sorted(each.length for each in queue.take(every)) == [7, 8, 9]


def test_by_length_does_not_let_a_long_text_starve(loop: asyncio.AbstractEventLoop) -> None:
    """Short texts that come soon after it go first; those that come when it is due do not."""
    every = Lengths(rules())
    queue = load_policy("by_length").make(every.rules)
    old = item(loop, 500, arrived_s=0.0)
    due_s = 4 * MODEL.padded_s(1, 500)
    queue.add(old)
    for arrived_s in (0.3 * due_s, *[due_s] * 50):
        queue.add(item(loop, 8, arrived_s=arrived_s))
    queue.take(every)
    assert old in queue.take(every)


def test_a_worker_for_short_texts_gets_short_ones_only(loop: asyncio.AbstractEventLoop) -> None:
    edge = MODEL.short_edge(512)
    assert edge is not None
    for policy in policy_names():
        every = Lengths(rules())
        queue = load_policy(policy).make(every.rules)
        for length in (500, 8, edge, 9, edge + 1, 500):
            queue.add(item(loop, length))
        short = Lengths(every.rules, edge)
        batch = queue.take(short)
        assert all(each.length <= edge for each in batch), policy
        if policy == "by_length":
            assert sorted(each.length for each in batch) == [8, 9]
            assert [each.length for each in queue.take(short)] == [edge]
            assert queue.take(short) == []


def test_by_length_serves_a_single_text_before_the_rest_of_a_large_request(
    loop: asyncio.AbstractEventLoop,
) -> None:
    every = Lengths(rules(batch_rows=4))
    queue = load_policy("by_length").make(every.rules)
    large = [item(loop, 8) for _ in range(12)]
    for place, each in enumerate(large):
        each.turn_s = 0.01 * place
        queue.add(each)
    assert queue.take(every) == large[:4]
    single = item(loop, 9, arrived_s=0.05)
    queue.add(single)
    assert queue.take(every) == large[4:8]
    assert single in queue.take(every)


def test_the_batches_of_a_plan_take_the_least_time_together() -> None:
    """The plan is compared with every way to cut the texts into batches of neighbours."""
    lengths = [5, 6, 8, 30, 33, 60, 64, 200, 210, 400]
    for bounds in (rules(), rules(batch_rows=2), rules(model=replace(MODEL, fixed_s=0.01))):

        def seconds(sizes: Sequence[int], bounds: Rules = bounds) -> float:
            ends = itertools.accumulate(sizes)
            made = [(size, lengths[end - 1]) for size, end in zip(sizes, ends, strict=True)]
            if not all(bounds.fits(size, width) for size, width in made):
                return math.inf
            return sum(bounds.model.padded_s(size, width) for size, width in made)

        cuts = [[i for i in range(1, len(lengths)) if mask >> (i - 1) & 1]
                for mask in range(1 << (len(lengths) - 1))]  # fmt: skip
        every = [[b - a for a, b in itertools.pairwise([0, *cut, len(lengths)])] for cut in cuts]
        planned = best_batches(lengths, bounds)
        assert seconds(planned) == pytest.approx(min(map(seconds, every)))


def test_an_engine_that_plans_shapes_gets_few_of_them() -> None:
    planning = rules(model=replace(MODEL, plan_s=0.01), batch_tokens=400)
    planning = replace(planning, width=planning.model.width)
    shapes = planning.shapes()
    assert len(shapes) == len(set(shapes)) < 150
    for lengths in ([8] * 11, [20] * 7, [60, 61, 62, 300], list(range(5, 37))):
        ends = itertools.accumulate(sizes := best_batches(lengths, planning))
        for size, end in zip(sizes, ends, strict=True):
            assert (size, planning.width(lengths[end - 1])) in shapes
    short = planning.shapes(up_to=50)
    assert 0 < len(short) < len(shapes)
    assert max(width for _, width in short) <= planning.width(50)
    assert rules().shapes() == []
    assert rules(model=replace(MODEL, plan_s=2.0)).shapes() == []


def test_an_engine_that_skips_padding_gets_batches_as_large_as_may_be() -> None:
    packing = rules(model=replace(MODEL, skips_padding=True), batch_tokens=10_000, quantum_s=1.0)
    assert best_batches([5, 30, 100, 300], packing) == [4]


def test_by_length_fills_a_batch_only_where_padding_pays(loop: asyncio.AbstractEventLoop) -> None:
    every = Lengths(rules(batch_tokens=2048))
    queue = load_policy("by_length").make(every.rules)
    for length in (400, 390, 8):
        queue.add(item(loop, length))
    assert sorted(each.length for each in queue.take(every)) == [8]
    assert sorted(each.length for each in queue.take(every)) == [390, 400]


def test_fifo_keeps_the_order(loop: asyncio.AbstractEventLoop) -> None:
    every = Lengths(rules(batch_tokens=100))
    queue = load_policy("fifo").make(every.rules)
    for length in (50, 8, 60, 8):
        queue.add(item(loop, length))
    assert [[each.length for each in queue.take(every)] for _ in range(2)] == [[50, 8], [60]]
