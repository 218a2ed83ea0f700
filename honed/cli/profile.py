"""honed profile: where the time of a call goes, by operator, module and phase."""

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
_ABSENCE = "the engine has no profiler → backend=torch has one"


def profile(
    words: Words = None,
    by: Annotated[
        str, typer.Option(help="Add up by any of op, module and phase, joined by commas.")
    ] = "op,module,phase",
    top: Annotated[int, typer.Option(help="How many lines to show.", min=1)] = 20,
    chrome: Annotated[
        Path | None,
        typer.Option(help="Write the call as a trace for chrome://tracing.", dir_okay=False),
    ] = None,
    speedscope: Annotated[
        Path | None,
        typer.Option(help="Write the call for https://www.speedscope.app.", dir_okay=False),
    ] = None,
    as_json: AsJson = False,
    store: StoreUrl = None,
) -> None:
    """Measure a call, then show which operators and modules take its time.

    honed profile model=lm-small workload=train_step

    The times come from one call under the engine's profiler, which is slower than the calls that
    are measured; the output says by how much.
    """
    from honed.show.profile import check_keys, kinds_view, profile_view

    keys = check_keys(by.split(","))
    records = measured(with_pass(words or [], "profile"), store)
    code = print_views(
        records, lambda record: profile_view(record, keys, top), _ABSENCE, as_json=as_json
    )
    if not as_json and (compared := kinds_view(records)) is not None:
        from rich.console import Console

        Console().print(compared)
    _export(records, chrome, speedscope)
    raise typer.Exit(code)


def _export(records: Sequence[Record], chrome: Path | None, speedscope: Path | None) -> None:
    """Write the trace of the last record that has one, and say whose it is on stderr."""
    from honed.export.trace import chrome_trace
    from honed.export.trace import speedscope as speedscope_trace
    from honed.files import give
    from honed.run.passes.profile import read_trace
    from honed.show.profile import profile_of

    profiled = [(r, part) for r in records if (part := profile_of(r)) is not None]
    if not profiled or (chrome is None and speedscope is None):
        return
    record, part = profiled[-1]
    events, label = read_trace(part.trace), record.to_case().label()
    if chrome is not None:
        path = give(chrome, chrome_trace(events), "--chrome FILE")
        print(f"{path}: {label}", file=sys.stderr)
    if speedscope is not None:
        path = give(speedscope, speedscope_trace(events, label), "--speedscope FILE")
        print(f"{path}: {label}", file=sys.stderr)
