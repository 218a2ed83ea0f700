"""honed memory: which tensors of a step are alive at its peak, and who made them."""

from __future__ import annotations

import typer

from honed.cli._measured import AsJson, StoreUrl, Words, measured, print_views, with_pass

ORDER = 4


def memory(
    words: Words = None,
    as_json: AsJson = False,
    store: StoreUrl = None,
) -> None:
    """Show the peak of each phase by kind, and the largest allocations with their origin.

    honed memory model=lm-small until=forward,optimizer checkpointing=off,blocks

    It measures a training step as `honed run workload=train_step` does, and then watches every
    tensor of one step. `honed plan` predicts the same without running anything.
    """
    from honed.cli.run import exit_code
    from honed.show.memory import memory_view

    records = measured(with_pass(["workload=train_step", *(words or [])], "memory_timeline"),
                       store)  # fmt: skip
    print_views(records, memory_view, as_json=as_json)
    raise typer.Exit(exit_code(records, strict=False))
