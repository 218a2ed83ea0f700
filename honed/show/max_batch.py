"""What a search for the largest batch found: the answer, and every try with its memory."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.max_batch.found import LargestBatch, Try
from honed.show.numbers import NONE, mib


def max_batch_details(found: LargestBatch) -> RenderableType:
    """The sentences, and a row for each try in the order of their sizes."""
    table = Table("batch", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("predicted\nMiB", "peak\nMiB", "fits"):
        table.add_column(heading, justify="right")
    table.add_column("why not", overflow="fold")
    for one in sorted(found.tries, key=lambda each: each.batch_size):
        fits = Text("yes") if one.fits else Text("no", "red")
        table.add_row(
            str(one.batch_size), mib(one.predicted_bytes), mib(one.peak_bytes), fits, one.why
        )
    note = (
        f"peaks are anonymous memory of all instances; one sequence without the limit took "
        f"{mib(found.alone.peak_bytes)} MiB"
    )
    return Group(_answer(found), Text(_predicted(found)), table, Text(note, "dim"))


def line_of_try(one: Try) -> str:
    """A try as it ends: `batch size 64 fits: 1,203 MiB, 1,190 were predicted`."""
    predicted = "" if one.predicted_bytes is None else f", {mib(one.predicted_bytes)} predicted"
    if not one.fits:
        return f"batch size {one.batch_size} does not fit{predicted}: {one.why}"
    return f"batch size {one.batch_size} fits: {mib(one.peak_bytes)} MiB{predicted}"


def _answer(found: LargestBatch) -> Text:
    limit = f"{mib(found.limit_bytes)} MiB"
    by = f", held by {found.limited_by}" if found.limited_by else ""
    if not found.batch_size:
        return Text(f"not even one sequence fits in {limit}{by}", "red")
    text = Text.assemble("largest batch ", (str(found.batch_size), "bold"), f" in {limit}{by}")
    if found.too_large is not None:
        text.append(f"; {found.too_large} does not fit")
        if found.too_large - found.batch_size > 1:
            text.append(", and sizes between the two were not tried")
    return text


def _predicted(found: LargestBatch) -> str:
    if found.predicted is None:
        return f"predicted: {NONE} (plan does not know what another sequence takes)"
    how = {
        "traced": "plan's trace of what another sequence adds to one",
        "closed form": "plan's formulas for what another sequence adds to one",
    }[found.predicted_from]
    return f"predicted: {found.predicted}, by {how}"
