"""What a figure's file gives, and where they are found.

A file in this folder, named as the figure: `ORDER`, its place in the report, and
`pictures(evidence)`, the pictures that these records have something to say for (none: it does not
appear). Its title, its sentence and its panels are computed from the records, once, for the page
and the PNGs alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from honed import discovery
from honed.record import Record
from honed.report.evidence import Evidence
from honed.report.panels.base import Legend, Panel, Solid

PACKAGE = "honed.report.figures"


@dataclass(frozen=True, slots=True)
class Picture:
    """`sentence` is what is seen, computed; `notes` say how to read it and what is left out.

    `solids` show panels once more in space, on screens only. `marked`: a mark tells what its
    record's status is.
    """

    title: str
    sentence: str
    panels: tuple[Panel, ...]
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    solids: tuple[Solid, ...] = ()
    marked: bool = True

    def all_panels(self) -> tuple[Panel | Solid, ...]:
        """The panels of the page: those in space come last."""
        return (*self.panels, *self.solids)

    def legend(self) -> Legend:
        """Of all panels together, each label once; one alone needs no legend."""
        found = dict(entry for panel in self.panels for entry in panel.legend())
        return list(found.items()) if len(found) > 1 else []

    def record_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.id for r in self.records))

    def all_notes(self) -> tuple[str, ...]:
        """Its own, and the meaning of the marks that are in it."""
        statuses = {r.status for r in self.records if self.marked}
        found = list(self.notes)
        if "diverged" in statuses:
            found.append(
                "Crossed or hatched: diverged, other answers than the reference's; never counted "
                "as the fastest."
            )
        if "unproven" in statuses:
            found.append("Hollow or hatched: unproven, a setting may not have taken effect.")
        if doubtful := len({r.id for r in self.records if r.doubts}):
            found.append(f"{doubtful} of its {len(self.record_ids())} records have doubts: below.")
        return tuple(found)


class Figure(Protocol):
    """The module of one figure."""

    ORDER: int

    def pictures(self, evidence: Evidence) -> Iterable[Picture]: ...


def all_pictures(evidence: Evidence) -> Iterator[tuple[str, Picture]]:
    """Every figure's pictures, each with a name of its own: `batch_size`, `batch_size-2`, …"""
    modules = {
        name: cast(Figure, discovery.load(PACKAGE, name)) for name in discovery.names(PACKAGE)
    }
    for name, figure in sorted(modules.items(), key=lambda item: item[1].ORDER):
        for number, picture in enumerate(figure.pictures(evidence), 1):
            yield (name if number == 1 else f"{name}-{number}"), picture


def titled(*parts: str) -> str:
    """`Batch size: bert-base, 128 tokens`; what is empty is left out."""
    head, *rest = parts
    return ": ".join(filter(None, [head, ", ".join(filter(None, rest))]))
