"""Where the front and the express workers sit; all other workers sit as in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from honed.errors import UsageError
from honed.machine import limits, topology
from honed.workers.seat import Seat


def express_seats(places: Sequence[Seat], count: int) -> list[Seat]:
    """Where workers for short texts sit: on all cores of the others, whom they go before."""
    cpus = tuple(sorted({cpu for seat in places for cpu in seat.cpus}))
    nodes = tuple(sorted({node for seat in places for node in seat.nodes}))
    first = len(places)
    return [
        replace(places[0], index=first + number, instances=first + count, cpus=cpus, nodes=nodes)
        for number in range(count)
    ]


def last_cores(count: int) -> tuple[int, ...]:
    """One CPU of each of the last `count` cores that this process may use."""
    if not count:
        return ()
    allowed = set(limits.read().cpus)
    cores = [core for core in topology.read().cores() if any(c.id in allowed for c in core)]
    if count >= len(cores):
        raise UsageError(
            f"front_cores={count} leaves no core for workers: there are {len(cores)}",
            f"front_cores={max(0, len(cores) - 1)} or fewer",
        )
    return tuple(next(c.id for c in core if c.id in allowed) for core in cores[-count:])
