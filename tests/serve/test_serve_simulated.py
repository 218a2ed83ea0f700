"""What the policies do for traffic, with the real dispatcher on a simulated clock."""

from __future__ import annotations

import pytest

from benchmarks.simulated_dispatch import (
    Machine,
    Sent,
    large_machines,
    mixed_lengths,
    p99_ms,
    per_s,
    poisson,
    spread_lengths,
    wait_error,
)

COUNT = 1500
RATE = 105.0  # of mixed texts: about 70 % of what two cores compute


def mixed(policy: str, express: int = 0) -> list[Sent]:
    machine = Machine(policy, express=express)
    return machine.open_loop(poisson(RATE, COUNT, 1), mixed_lengths(COUNT, 2))


def test_an_express_worker_frees_short_texts_from_long_ones() -> None:
    fifo, express = mixed("fifo"), mixed("by_length", express=1)
    assert p99_ms(fifo, up_to=32) > 3 * p99_ms(express, up_to=32)
    assert p99_ms(express) < 1.3 * p99_ms(fifo)


def test_short_texts_go_first_without_one_too() -> None:
    fifo, ours = mixed("fifo"), mixed("by_length")
    assert p99_ms(fifo, up_to=32) > 2 * p99_ms(ours, up_to=32)
    assert p99_ms(ours) < 1.3 * p99_ms(fifo)


@pytest.mark.parametrize("express", [0, 1])
def test_more_texts_are_computed_than_under_fifo(express: int) -> None:
    lengths = spread_lengths(COUNT, 0)
    ours = Machine("by_length", express=express, longest=256).closed_loop(32, lengths)
    assert per_s(ours) > 1.2 * per_s(Machine("fifo", longest=256).closed_loop(32, lengths))


@pytest.mark.parametrize("policy", ["fifo", "by_length"])
def test_twice_the_load_keeps_the_rate_and_the_limit(policy: str) -> None:
    lengths = spread_lengths(4000, 0)
    rate = per_s(Machine(policy, longest=256).closed_loop(32, lengths[:COUNT]))
    machine = Machine(policy, longest=256, max_wait_s=0.3)
    sent = machine.open_loop(poisson(2 * rate, len(lengths), 3), lengths)
    admitted = [each for each in sent if not each.refused]
    in_time = sum(each.took_s < 0.5 for each in admitted)
    assert in_time / sent[-1].began_s > 0.9 * rate
    assert p99_ms(admitted) < 500
    assert wait_error(admitted) < 0.3


@pytest.mark.parametrize("express", [0, 1])
def test_an_overload_of_short_texts_does_not_keep_long_ones_out(express: int) -> None:
    """Twice as many texts as can be computed; short texts come first in the queue."""
    lengths = mixed_lengths(4000, 2)
    machine = Machine("by_length", express=express, max_wait_s=0.5)
    sent = machine.open_loop(poisson(300.0, len(lengths), 3), lengths)
    short = [each.refused for each in sent if each.length <= 32]
    long = [each.refused for each in sent if each.length > 32]
    assert sum(short) / len(short) > 0.2
    assert sum(long) / len(long) < 1.2 * sum(short) / len(short)
    assert p99_ms([each for each in sent if not each.refused]) < 700


def test_instances_of_different_sizes_answer_short_texts_sooner_than_equal_ones() -> None:
    """48 cores at about two thirds of what they can do; each division has the same texts."""
    found = {}
    for name, machine in large_machines().items():
        sent = machine.open_loop(poisson(400.0, COUNT, 1), mixed_lengths(COUNT, 2))
        mean_s = sum(each.took_s for each in sent) / len(sent)
        found[name] = p99_ms(sent, up_to=32), mean_s, p99_ms(sent)
    ours = found.pop("sizes=8+16+24")
    assert ours[0] < 0.7 * min(short_ms for short_ms, _, _ in found.values())
    assert ours[1] < min(mean_s for _, mean_s, _ in found.values())
    assert ours[2] < 1.3 * min(all_ms for _, _, all_ms in found.values())
