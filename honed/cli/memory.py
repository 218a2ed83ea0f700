"""honed memory: which tensors of a step are alive at its peak, and who made them."""

from __future__ import annotations

import json
from typing import Annotated

import typer

ORDER = 4


def memory(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as for honed run."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One record a line on stdout.")] = False,
    store: Annotated[str | None, typer.Option(help="Database URL for the records.")] = None,
) -> None:
    """Show the peak of each phase by kind, and the largest allocations with their origin.

    honed memory model=lm-small until=forward,optimizer checkpointing=off,blocks

    It measures a training step as `honed run workload=train_step` does, and then watches every
    tensor of one step. `honed plan` predicts the same without running anything.
    """
    from honed.cli._measured import measured, with_pass
    from honed.cli.run import exit_code
    from honed.show.memory import memory_view

    records = measured(with_pass(["workload=train_step", *(words or [])], "memory_timeline"),
                       store)  # fmt: skip
    for record in records:
        if as_json:
            print(json.dumps(record.to_json(), allow_nan=False), flush=True)
        elif (view := memory_view(record)) is not None:
            from rich.console import Console

            Console().print(view)
    raise typer.Exit(exit_code(records, strict=False))
