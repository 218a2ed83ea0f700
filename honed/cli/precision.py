"""honed precision: the type and the error of each module's output under mixed precision."""

from __future__ import annotations

import json
from typing import Annotated

import typer

ORDER = 4

_AUTOCAST = "autocast="


def precision(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as for honed run."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One record a line on stdout.")] = False,
    store: Annotated[str | None, typer.Option(help="Database URL for the records.")] = None,
) -> None:
    """Show what stays fp32 under autocast, and how far each module is off.

    honed precision model=lm-small autocast=bf16,fp16

    It measures a training step as `honed run workload=train_step precision=bf16` does, and then
    compares one small call with the same call in fp32.
    """
    from honed.cli._measured import measured, with_pass
    from honed.cli.run import exit_code
    from honed.show.precision import precision_view

    typed = [
        f"precision={word.removeprefix(_AUTOCAST)}" if word.startswith(_AUTOCAST) else word
        for word in words or []
    ]
    records = measured(with_pass(["workload=train_step", "precision=bf16", *typed], "precision"),
                       store)  # fmt: skip
    for record in records:
        if as_json:
            print(json.dumps(record.to_json(), allow_nan=False), flush=True)
        elif (view := precision_view(record)) is not None:
            from rich.console import Console

            Console().print(view)
    raise typer.Exit(exit_code(records, strict=False))
