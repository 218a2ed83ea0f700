"""Seat: the cores and memory nodes of one instance, and how a Case's instances are seated."""

from __future__ import annotations

from dataclasses import dataclass

from honed import sizes
from honed.case import Case
from honed.errors import UsageError
from honed.machine import limits, placement, topology


@dataclass(frozen=True, slots=True)
class Seat:
    """One instance's place: which of how many, on which cores and memory nodes.

    Empty `cpus` means unpinned; `threads` None leaves the engine its own choice.
    """

    index: int = 0
    instances: int = 1
    threads: int | None = None
    cpus: tuple[int, ...] = ()
    nodes: tuple[int, ...] = ()


def seats(case: Case, reserved: tuple[int, ...] = ()) -> list[Seat]:
    """Where each instance goes. Raises UsageError for what cannot fit on this machine.

    A single instance stays unpinned unless the Case asks for threads, smt or numa: the default
    of the engine is a setting too, and all others are compared with it. The cores of the CPUs in
    `reserved` stay free, which pins a single instance as well.
    """
    placement_keys = (case.threads, case.get("smt"), case.get("numa"))
    if case.instances == 1 and not reserved and all(v is None for v in placement_keys):
        return [Seat()]
    wanted = placement.PlacementRequest(
        instances=case.instances,
        threads=case.threads,
        smt=str(case.get("smt") or "off"),
        numa=str(case.get("numa") or "local"),
        oversubscribe=case.oversubscribe,
        reserved=reserved,
    )
    if case.sizes is not None:
        return _of_sizes(case, wanted)
    places = placement.place(topology.read(), limits.read(), wanted)
    return [
        Seat(index, case.instances, case.threads or len(place.cpus), place.cpus, place.nodes)
        for index, place in enumerate(places)
    ]


def _of_sizes(case: Case, wanted: placement.PlacementRequest) -> list[Seat]:
    """A seat for each of the Case's sizes, the smallest first."""
    if wanted.smt == "on":
        raise UsageError(
            f"sizes={case.sizes} gives each instance whole cores, and smt=on adds second siblings",
            "leave smt=on out",
        )
    cores = sizes.parse(str(case.sizes))
    places = placement.place_sizes(topology.read(), limits.read(), wanted, cores)
    return [
        Seat(index, case.instances, size, place.cpus, place.nodes)
        for index, (size, place) in enumerate(zip(cores, places, strict=True))
    ]
