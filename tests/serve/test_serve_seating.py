"""Where the front and the express workers sit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from honed.errors import UsageError
from honed.machine import limits, topology
from honed.serve.seating import express_seats, last_cores
from honed.workers.seat import Seat


def test_express_workers_sit_on_all_cores_of_the_others() -> None:
    places = [
        Seat(index=0, instances=2, cpus=(0, 1), threads=2, nodes=(0,)),
        Seat(index=1, instances=2, cpus=(2, 3), threads=2, nodes=(1,)),
    ]
    first, second = express_seats(places, 2)
    assert first.cpus == second.cpus == (0, 1, 2, 3)
    assert first.nodes == (0, 1)
    assert (first.index, second.index) == (2, 3)
    assert first.threads == 2
    assert express_seats(places, 0) == []


def test_the_front_takes_the_last_cores_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three cores of two CPUs each; the process may not use the last core, nor CPU 2."""
    cores = [[SimpleNamespace(id=cpu), SimpleNamespace(id=cpu + 1)] for cpu in (0, 2, 4)]
    monkeypatch.setattr(limits, "read", lambda: SimpleNamespace(cpus=(0, 1, 3)))
    monkeypatch.setattr(topology, "read", lambda: SimpleNamespace(cores=lambda: cores))
    assert last_cores(0) == ()
    assert last_cores(1) == (3,)
    with pytest.raises(UsageError, match="leaves no core for workers: there are 2") as caught:
        last_cores(2)
    assert caught.value.hint == "front_cores=1 or fewer"
