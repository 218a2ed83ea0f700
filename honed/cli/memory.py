"""honed memory: which tensors of a step are alive at its peak, and who made them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli._measured import AsJson, StoreUrl, Words, measured, print_views, with_pass

if TYPE_CHECKING:
    from honed.record import Record

ORDER = 4
_ABSENCE = "the engine does not tell which tensors are alive → backend=torch torch.mode=eager"


def memory(
    words: Words = None,
    timeline: Annotated[
        Path | None,
        typer.Option(
            help="Draw memory over the step, as honed plan draws it, into this HTML file.",
            dir_okay=False,
        ),
    ] = None,
    planned: Annotated[
        bool, typer.Option("--planned", help="Compare with the plan of the same step.")
    ] = False,
    as_json: AsJson = False,
    store: StoreUrl = None,
) -> None:
    """Show the peak of each phase by kind, and the largest allocations with their origin.

    honed memory model=lm-small until=forward,optimizer checkpointing=off,blocks,nested

    It measures a training step as `honed run workload=train_step` does, and then watches every
    tensor of one step. `honed plan` predicts the same without running anything; with --planned,
    the prediction is printed below, and drawn beside the measurement.
    """
    from honed.show.memory import memory_view

    records = measured(with_pass(["workload=train_step", *(words or [])], "memory_timeline"),
                       store)  # fmt: skip
    code = print_views(records, memory_view, _ABSENCE, as_json=as_json)
    _compare(records, timeline, planned=planned)
    raise typer.Exit(code)


def _compare(records: Sequence[Record], path: Path | None, *, planned: bool) -> None:
    """Print the plan of each record to stderr, and draw what was asked for."""
    if path is None and not planned:
        return
    from honed.plan.of_case import Planners
    from honed.report.memory_timeline import Titled, write
    from honed.run.passes.memory_timeline import read_timeline
    from honed.show.memory import memory_of, planned_line

    planners, drawn = Planners(), []
    for record in records:
        part = memory_of(record)
        if part is None:
            continue
        label = record.to_case().label(("until", "checkpointing", "optimizer"))
        drawn.append(Titled("measured", label, read_timeline(part.timeline)))
        expected = planners.expect(record.to_case()) if planned else None
        if planned:
            print(f"{label}: {planned_line(part, expected)}", file=sys.stderr)
        if expected is not None:
            drawn.append(Titled("planned", label, expected.timeline))
    if path is not None and drawn:
        write(drawn, path)
        print(path, file=sys.stderr)
