"""Contenders in turns: who falls out, who is left, and what is kept of an unfinished block."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from landscape import Landscape, ask, session, stored

from honed.case import Case
from honed.tune.duels import Draw, Duels
from honed.tune.race import race
from honed.tune.session import Session
from honed.tune.trial import Point, point

SIDES: dict[str, Point] = {
    "plain": point({"backend": "openvino", "precision": "int8"}),
    "jemalloc": point({"backend": "openvino", "precision": "int8", "allocator": "jemalloc"}),
    "slow": point({"backend": "torch", "precision": "int8"}),
}


def latency_s(case: Case) -> float:
    if case.backend == "torch":
        return 0.05
    return 0.0485 if case.get("allocator") == "jemalloc" else 0.05 * 0.99


@contextlib.contextmanager
def racing(folder: Path, bench: Landscape) -> Iterator[tuple[Session, Duels]]:
    with stored(folder, ask("objective=latency", "budget=5m")) as (study, _):
        yield session(study, bench), Duels(bench, study.space, "latency")


def test_who_is_behind_falls_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    bench = Landscape(lambda c: latency_s(c) * (1.3 if c.backend == "torch" else 1.0))
    bench.noise, bench.cost_s = 0.02, 2.0
    with racing(tmp_path, bench) as (own, duels):
        left = race(own, duels, SIDES, until_s=60.0)
    assert "slow" not in left
    assert bench.now_s <= 60
    blocks = [set(b) for b in duels.blocks]
    assert "slow" in blocks[0]
    assert "slow" not in blocks[-1]
    assert all(len(duels.differences(a, left[0])) == len(duels.blocks) for a in left)


def test_a_side_that_fails_is_out(tmp_path: Path) -> None:
    def failing(case: Case) -> str | None:
        return "crashed" if case.get("allocator") == "jemalloc" else None

    with racing(tmp_path, Landscape(latency_s, failing)) as (own, duels):
        left = race(own, duels, SIDES, until_s=120.0)
    assert "jemalloc" not in left
    assert duels.failed == {"jemalloc": "as asked"}


def test_a_block_that_time_cut_short_is_not_kept(tmp_path: Path) -> None:
    with racing(tmp_path, Landscape(latency_s)) as (own, duels):
        left = race(own, duels, SIDES, until_s=20.0)  # eight seconds a process
    assert left == list(SIDES)
    assert duels.blocks == []
    assert duels.failed == {}


def test_each_second_block_mirrors_the_first(tmp_path: Path) -> None:
    bench = Landscape(lambda _: 0.05)
    bench.noise = 0.001
    with racing(tmp_path, bench) as (own, duels):
        race(own, duels, SIDES, until_s=60.0)
    engines = [(c.backend, c.get("allocator")) for c in bench.measured]
    assert engines[:3] == engines[5:2:-1]


@pytest.mark.parametrize("spread", [0.02, 0.1])
def test_noise_is_what_processes_of_one_setting_differ_by(tmp_path: Path, spread: float) -> None:
    with racing(tmp_path, Landscape(latency_s)) as (_, duels):
        duels.blocks = [
            {"a": Draw(spread * sign, "r"), "b": Draw(1.0 - spread * sign, "r")}
            for sign in (1, -1, 1, -1)
        ]
        # Each difference is off by 2 * spread: the noise of two processes.
        noise = 1.4826 * 2 * spread / math.sqrt(2)
        assert duels.noise() == pytest.approx(noise)
        assert duels.error("a", "b") == pytest.approx(1.2533 * noise * math.sqrt(2 / 4))
        assert duels.behind("b", "a") == pytest.approx(1.0)


def promise_broken(bench: Landscape) -> Callable[[Case], float]:
    """The default is overtaken for as long as the trials last."""

    def latency(case: Case) -> float:
        if (case.backend, case.precision) == ("torch", "fp32"):
            return 0.1
        return 0.05 if bench.now_s < 60 else 0.12

    return latency


def test_what_only_the_trials_promised_is_not_recommended(tmp_path: Path) -> None:
    bench = Landscape(lambda _: 0.1)
    bench.latency = promise_broken(bench)
    with stored(tmp_path, ask("objective=latency", "budget=2m", "sampler=tpe")) as (study, _):
        at = session(study, bench).run()
    assert dict(at.point or {}) == {"backend": "torch", "precision": "fp32"}
    assert at.gain.value == 1.0


def test_one_disturbed_process_does_not_decide(tmp_path: Path) -> None:
    with racing(tmp_path, Landscape(latency_s)) as (_, duels):
        logs = [(0.0, -0.03), (0.001, -0.029), (0.0, 0.2), (0.002, -0.031)]
        duels.blocks = [{"a": Draw(a, "r"), "b": Draw(b, "r")} for a, b in logs]
        assert duels.behind("b", "a") == pytest.approx(-0.0315, abs=0.002)
        assert duels.noise() < 0.02
