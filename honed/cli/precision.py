"""honed precision: the type and the error of each module's output under mixed precision."""

from __future__ import annotations

import typer

from honed.cli._measured import AsJson, StoreUrl, Words, measured, print_views, with_pass

ORDER = 4

_AUTOCAST = "autocast="
_ABSENCE = "the step does not mix precisions → autocast=bf16,fp16, and no torch.bf16=weights"


def precision(
    words: Words = None,
    as_json: AsJson = False,
    store: StoreUrl = None,
) -> None:
    """Show what stays fp32 under autocast, and how far each module is off.

    honed precision model=lm-small autocast=bf16,fp16

    It measures a training step as `honed run workload=train_step precision=bf16` does, and then
    compares one small call with the same call in fp32.
    """
    from honed.show.precision import precision_view

    typed = [
        f"precision={word.removeprefix(_AUTOCAST)}" if word.startswith(_AUTOCAST) else word
        for word in words or []
    ]
    records = measured(with_pass(["workload=train_step", "precision=bf16", *typed], "precision"),
                       store)  # fmt: skip
    raise typer.Exit(print_views(records, precision_view, _ABSENCE, as_json=as_json))
