"""Mixed precision of a record: a line for each module, and the experiment with sums."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.mixed_precision import MixedPrecision
from honed.plain import from_plain
from honed.record import Record
from honed.run.passes.precision import Part
from honed.show.numbers import NONE

_HEADINGS = ("module", "kind", "inputs", "weights", "output", "max error", "relative", "why")


def precision_of(record: Record) -> MixedPrecision | None:
    data = (record.passes or {}).get("precision")
    return None if data is None else from_plain(Part, data).observed


def precision_view(record: Record) -> RenderableType | None:
    """None for a record without the pass."""
    observed = precision_of(record)
    if observed is None:
        return None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in _HEADINGS:
        number = heading in ("max error", "relative")
        wraps = heading in ("module", "why")
        table.add_column(heading, justify="right" if number else "left", no_wrap=not wraps,
                         overflow="fold")  # fmt: skip
    for each in observed.modules:
        table.add_row(
            each.module, each.kind, each.inputs or NONE, each.weights or NONE,
            Text(each.output, "yellow" if each.output == "float32" else ""),
            f"{each.max_abs_diff:.2g}", f"{each.relative_diff:.2%}", each.why,
        )  # fmt: skip
    gradient = observed.gradient_relative_diff
    facts = [
        f"parameters {observed.parameters}, loss {observed.loss} "
        f"(off by {observed.loss_relative_diff:.3%})",
        f"gradients {observed.gradients} (off by {gradient:.2%})" if gradient is not None else "",
    ]
    return Group(
        table, Text(", ".join(filter(None, facts))),
        Text(), Text("1000 x 0.01, summed one after the other", "bold"), _sums(observed),
    )  # fmt: skip


def _sums(observed: MixedPrecision) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for types, value in observed.accumulation.items():
        table.add_row(types, f"{value:.4f}")
    return table
