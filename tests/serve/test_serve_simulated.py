"""What the policies do for traffic, with the real dispatcher on a simulated clock."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import Machine, Sent, mixed_lengths, p99_ms, poisson

COUNT = 1500
RATE = 130.0  # of mixed texts: about 70 % of what two cores compute


def mixed(policy: str, express: int = 0) -> list[Sent]:
    machine = Machine(policy, express=express)
    return machine.open_loop(poisson(RATE, COUNT, 1), mixed_lengths(COUNT, 2))


def test_an_express_worker_frees_short_texts_from_long_ones() -> None:
    fifo, express = mixed("fifo"), mixed("by_length", express=1)
    assert p99_ms(fifo, up_to=32) > 3 * p99_ms(express, up_to=32)
    assert p99_ms(express) < 1.3 * p99_ms(fifo)


def test_short_texts_go_first_without_one_too() -> None:
    fifo, ours = mixed("fifo"), mixed("by_length")
    assert p99_ms(fifo, up_to=32) > p99_ms(ours, up_to=32)
    assert p99_ms(ours) < 1.3 * p99_ms(fifo)


@pytest.mark.parametrize("express", [0, 1])
def test_as_many_texts_are_computed_as_under_fifo(express: int) -> None:
    draw = np.random.default_rng(0)
    lengths = [round(6 * 40 ** draw.random()) for _ in range(COUNT)]
    took_s = {}
    for policy in ("fifo", "by_length"):
        machine = Machine(policy, express=express if policy == "by_length" else 0)
        sent = machine.closed_loop(32, lengths)
        took_s[policy] = max(each.began_s + each.took_s for each in sent)
    assert took_s["by_length"] < 1.02 * took_s["fifo"]


@pytest.mark.parametrize("policy", ["fifo", "by_length"])
def test_twice_the_load_keeps_the_rate_and_the_limit(policy: str) -> None:
    draw = np.random.default_rng(0)
    lengths = [round(6 * 40 ** draw.random()) for _ in range(4000)]
    calm = Machine(policy).closed_loop(32, lengths[:COUNT])
    per_s = COUNT / max(each.began_s + each.took_s for each in calm)
    machine = Machine(policy, max_wait_s=0.3)
    sent = machine.open_loop(poisson(2 * per_s, len(lengths), 3), lengths)
    admitted = [each for each in sent if not each.refused]
    within = [each for each in admitted if each.took_s < 0.5]
    assert len(within) / sent[-1].began_s > 0.9 * per_s
    assert p99_ms(admitted) < 500
    waits = [(e.predicted_s, e.waited_s) for e in admitted if e.predicted_s > 0.001 < e.waited_s]
    assert np.median([abs(said / real - 1) for said, real in waits]) < 0.3
