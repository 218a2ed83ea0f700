"""What the file of a view defines: what an experiment shows, as findings, tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

from honed import discovery
from honed.case import NO_MODEL
from honed.plan.of_case import Expected
from honed.record import Record
from honed.report.evidence import Evidence
from honed.report.figures.base import Picture
from honed.show.numbers import plain
from honed.show.rows import SHAPE, SUBJECT
from honed.suite.measure import Result

_ROOM = "honed.report.views"
_EFFORT = ("passes", "warmup_steps", "steps")  # say how a Case was measured, not what it is


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text; its first `left` columns are words, the others numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True, slots=True)
class Shown:
    """Each finding is a sentence."""

    findings: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Subject:
    """The result of an experiment, with the words for its records. `named_by` are keys that labels
    name beside those that tell Cases apart."""

    result: Result
    named_by: tuple[str, ...] = ()

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Those with numbers."""
        return self.evidence.measured

    @cached_property
    def evidence(self) -> Evidence:
        return Evidence(self.result.records)

    @cached_property
    def varying(self) -> list[str]:
        """The keys that differ between the Cases, without those that say how they were measured;
        the model, if there is one, is always named, and first."""
        records = self.result.records
        keys = self.evidence.varying(records, without=(*_EFFORT, "model"))
        has_model = any(record.case.get("model") != NO_MODEL for record in records)
        return [*(["model"] if has_model else []), *keys, *self.named_by]

    def label(self, record: Record) -> str:
        """The record by what distinguishes it in its experiment."""
        return self.evidence.label(record, self.varying)

    def expected(self, record: Record) -> Expected | None:
        return self.result.expected.get(record.to_case().id)

    def alike(self, records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
        """Records of the same model and shape, in the order of the experiment."""
        keys = [key for key in (*SUBJECT, *SHAPE) if key in self.varying]
        return self.evidence.groups(records, keys)


class View(Protocol):
    """The module of one view."""

    def show(self, subject: Subject) -> Shown:
        """What the records say; nothing where none of them has numbers."""


def load_view(name: str) -> View:
    return cast(View, discovery.load(_ROOM, name))


def times(ratio: float) -> str:
    """`is 1.61 times as fast` or `takes 1.20 times as long`, for a time over another time."""
    if ratio <= 1:
        return f"is {plain(1 / ratio)} times as fast"
    return f"takes {plain(ratio)} times as long"
