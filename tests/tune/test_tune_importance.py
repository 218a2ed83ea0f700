"""Importances of simulated searches, beside the Sobol indices of their landscapes."""

from __future__ import annotations

from statistics import median

from landscape import question, space

from benchmarks.simulated_search import judged
from honed.study import Setting, Trial
from honed.tune.importance import importances


def test_they_rank_the_keys_as_their_landscapes_do_and_no_flat_key_is_important() -> None:
    found = [judged(seed, 20, noise=0.05, together=0.0) for seed in range(5)]
    assert median(of.rank for of in found) >= 0.9
    assert all(of.flat <= 0.05 for of in found)


def test_few_trials_tell_nothing() -> None:
    asked = question()
    trials = [
        Trial(number, "expert", setting, "ok", None, (cost,), (cost,))
        for number, (setting, cost) in enumerate(
            [(Setting({"backend": "torch", "precision": p}), 1.0) for p in ("fp32", "int8")]
        )
    ]
    assert importances(space(asked), trials) == {}


def test_what_noise_explains_has_no_share() -> None:
    """Two engines twenty trials apart; a knob that does nothing."""
    asked, trials = question(), list[Trial]()
    for number in range(20):
        backend = ("torch", "openvino")[number % 2]
        setting = Setting({"backend": backend, "precision": "int8",
                           "allocator": (None, "jemalloc")[number // 2 % 2]})  # fmt: skip
        cost = (1.0, 2.0)[number % 2] * (1 + 0.01 * (number % 3))
        trials.append(Trial(number, "sampler", setting, "ok", None, (cost,), (cost,)))
    assert importances(space(asked), trials) == {"backend": 1.0, "allocator": None}
