"""What the file of a figure defines, and how figures are discovered.

A file in this folder has the figure's name. It defines `ORDER`, the figure's place in the report,
and `pictures(evidence)`, which yields nothing where the records show nothing of interest. Titles,
sentences and panels are computed once from the records, for the page and for PNGs.
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
    """`sentence` is the finding; `notes` explain how to read the picture and what it leaves out.

    `solids` show panels once more in space, on screens only. `marked`: the marks show the status
    of each record.
    """

    title: str
    sentence: str
    panels: tuple[Panel, ...]
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    solids: tuple[Solid, ...] = ()
    marked: bool = True

    def all_panels(self) -> tuple[Panel | Solid, ...]:
        """The panels of the page; those in space come last."""
        return (*self.panels, *self.solids)

    def legend(self) -> Legend:
        """The entries of all panels, each label once. A single entry needs no legend."""
        entries = dict(entry for panel in self.panels for entry in panel.legend())
        return list(entries.items()) if len(entries) > 1 else []

    def record_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.id for r in self.records))

    def all_notes(self) -> tuple[str, ...]:
        """The notes, and the meaning of the marks that are in the picture."""
        statuses = {r.status for r in self.records if self.marked}
        notes = list(self.notes)
        if "diverged" in statuses:
            notes.append(
                "Crossed or hatched: diverged, other answers than the reference's; never counted "
                "as the fastest."
            )
        if "unproven" in statuses:
            notes.append("Hollow or hatched: unproven, a setting may not have taken effect.")
        if doubtful := len({r.id for r in self.records if r.doubts}):
            all_of_them = len(self.record_ids())
            notes.append(f"Records with doubts, which stand below: {doubtful} of {all_of_them}.")
        return tuple(notes)


class Figure(Protocol):
    """The module of one figure."""

    ORDER: int

    def pictures(self, evidence: Evidence) -> Iterable[Picture]: ...


def all_pictures(evidence: Evidence) -> Iterator[tuple[str, Picture]]:
    """Every figure's pictures, each with a unique name: `batch_size`, `batch_size-2`, …"""
    names = discovery.names(PACKAGE)
    modules = {name: cast(Figure, discovery.load(PACKAGE, name)) for name in names}
    for name, figure in sorted(modules.items(), key=lambda item: item[1].ORDER):
        for number, picture in enumerate(figure.pictures(evidence), 1):
            yield (name if number == 1 else f"{name}-{number}"), picture


def titled(*parts: str) -> str:
    """`Batch size: bert-base, 128 tokens`; empty parts are left out."""
    head, *rest = parts
    return ": ".join(filter(None, [head, ", ".join(filter(None, rest))]))
