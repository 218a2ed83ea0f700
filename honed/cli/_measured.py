"""What the verbs that are short forms of `honed run` with one more pass have in common."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from honed.record import Record

_PASSES = "passes="

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as for honed run.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One record a line on stdout.")]
StoreUrl = Annotated[str | None, typer.Option(help="Database URL for the records.")]


def with_pass(words: Sequence[str], name: str) -> list[str]:
    """The words with the pass beside those that the user named."""
    named = [word.removeprefix(_PASSES) for word in words if word.startswith(_PASSES)]
    others = [word for word in words if not word.startswith(_PASSES)]
    return [*others, f"{_PASSES}{'+'.join([*named, name])}"]


def measured(words: Sequence[str], store: str | None) -> list[Record]:
    """Measure and store every Case of the words; failures are printed as they come."""
    from honed.cli._progress import Line
    from honed.run.lab import LocalLab
    from honed.run.sweep import plan_sweep, run_sweep
    from honed.store import open_store

    opened = open_store(store)
    plan = plan_sweep(opened, words, None, resume=False)
    line = Line()
    records = []
    try:
        for record in run_sweep(plan, LocalLab(opened), line):
            line.clear()
            records.append(record)
            if record.error is not None:
                hint = f" → {record.error.hint}" if record.error.hint else ""
                print(f"{record.status}: {record.error.message}{hint}", file=sys.stderr)
    finally:
        line.clear()
    return records


def print_views(
    records: Sequence[Record],
    view: Callable[[Record], RenderableType | None],
    absence: str,
    *,
    as_json: bool,
) -> int:
    """Print what the pass found of every record; returns the exit code.

    `absence` says why a measured record may have no result of the pass, and what to type. If none
    has one, the exit code is 1.
    """
    from rich.console import Console

    from honed.cli.run import exit_code

    is_shown = []
    for record in records:
        shown = view(record)
        is_shown.append(shown is not None)
        if as_json:
            print(json.dumps(record.to_json(), allow_nan=False), flush=True)
        elif shown is not None:
            Console().print(shown)
        if shown is None and record.error is None:
            print(f"{record.to_case().label()}: {absence}", file=sys.stderr)
    return exit_code(list(records), strict=False) or int(not any(is_shown))
