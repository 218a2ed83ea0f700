"""What differs between two records: settings, settings in effect, machine, versions, results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.measures import MEASURES
from honed.record import Record
from honed.show.columns import COLUMNS
from honed.show.details import facts
from honed.show.say import status


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that two records do not share; None where a record does not have it.

    `ratio` is B's value over A's, for a measure that both have.
    """

    section: str
    name: str
    a: Any
    b: Any
    shown_a: str
    shown_b: str
    ratio: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The values as the record has them, without the spelling for people."""
        return {
            "section": self.section, "name": self.name, "a": self.a, "b": self.b,
            "ratio": self.ratio,
        }  # fmt: skip


def differences(a: Record, b: Record) -> list[Difference]:
    """Every difference, in the order in which a reader looks for a cause."""
    settings = list(_unequal("settings", a.case, b.case))
    asked = {(d.name, d.shown_a, d.shown_b) for d in settings}
    effective = _unequal("in effect", _effective(a), _effective(b))
    return [
        *settings,
        *(d for d in effective if (d.name, d.shown_a, d.shown_b) not in asked),
        *_unequal("versions", _versions(a), _versions(b)),
        *_unequal("machine", _flat("", _machine(a)), _flat("", _machine(b))),
        *_results(a, b),
    ]


def difference_table(a: Record, b: Record) -> RenderableType:
    """A section for each kind of difference; a sentence where two records differ in none."""
    found = differences(a, b)
    if not any(d.section != "results" for d in found):
        causes: list[RenderableType] = [
            Text("same settings, same versions, same machine: only the results differ", "bold")
        ]
    else:
        causes = []
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", f"A {a.id[:8]}", f"B {b.id[:8]}"):
        table.add_column(heading, overflow="fold")
    table.add_row("status", status(a.status), status(b.status))
    section = ""
    for difference in found:
        if difference.section != section:
            section = difference.section
            table.add_row(Text(f"\n{section}", "bold"), "", "")
        ratio = "" if difference.ratio is None else f"  ({difference.ratio:.3g}x)"
        table.add_row(
            f"  {difference.name}", Text(difference.shown_a), Text(difference.shown_b + ratio)
        )
    return Group(*causes, table)


def _unequal(section: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*a, *b)):
        one, other = a.get(name), b.get(name)
        if one != other:
            yield Difference(section, name, one, other, facts(one), facts(other))


def _effective(record: Record) -> dict[str, Any]:
    """What was read back; the values of several instances as a list where they differ."""
    keys = dict.fromkeys(key for instance in record.effective for key in instance)
    values = {key: [instance.get(key) for instance in record.effective] for key in keys}
    return {k: v[0] if all(x == v[0] for x in v) else v for k, v in values.items()}


def _versions(record: Record) -> dict[str, Any]:
    machine = record.machine
    packages = dict(machine.get("packages") or {})
    return {"honed": record.honed, "python": machine.get("python"), **packages}


def _machine(record: Record) -> dict[str, Any]:
    return {k: v for k, v in record.machine.items() if k not in ("python", "packages")}


def _flat(prefix: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(f"{prefix}{key}.", value)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _results(a: Record, b: Record) -> Iterator[Difference]:
    for name, measure in MEASURES.items():
        one, other = measure.value(a), measure.value(b)
        if name not in COLUMNS or one == other:
            continue
        ratio = other / one if one and other is not None else None
        column = COLUMNS[name]
        yield Difference(
            "results", column.heading, one, other, column.read(a), column.read(b), ratio
        )
