"""honed profile: where the time of a call goes, by operator, module and phase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

ORDER = 4


def profile(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as for honed run."),
    ] = None,
    by: Annotated[
        str, typer.Option(help="Add up by any of op, module and phase, joined by commas.")
    ] = "op,module,phase",
    top: Annotated[int, typer.Option(help="How many lines to show.", min=1)] = 20,
    chrome: Annotated[
        Path | None, typer.Option(help="Write the call as a trace for chrome://tracing.")
    ] = None,
    speedscope: Annotated[
        Path | None, typer.Option(help="Write the call for https://www.speedscope.app.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One record a line on stdout.")] = False,
    store: Annotated[str | None, typer.Option(help="Database URL for the records.")] = None,
) -> None:
    """Measure a call, then show which operators and modules take its time.

    honed profile model=lm-small workload=train_step

    The times come from one call under the engine's profiler, which is slower than the calls that
    are measured; the output says by how much.
    """
    from honed.cli._measured import measured, with_pass
    from honed.cli.run import exit_code
    from honed.show.profile import check_keys, profile_view

    keys = check_keys(by.split(","))
    records = measured(with_pass(words or [], "profile"), store)
    for record in records:
        if as_json:
            print(json.dumps(record.to_json(), allow_nan=False), flush=True)
        elif (view := profile_view(record, keys, top)) is not None:
            from rich.console import Console

            Console().print(view)
    _export(records, chrome, speedscope)
    raise typer.Exit(exit_code(records, strict=False))


def _export(records: list, chrome: Path | None, speedscope: Path | None) -> None:  # type: ignore[type-arg]
    """Write the trace of the last record that has one."""
    from honed.export.trace import chrome_trace
    from honed.export.trace import speedscope as speedscope_trace
    from honed.files import write_whole
    from honed.run.passes.profile import read_trace
    from honed.show.profile import profile_of

    profiled = [(r, part) for r in records if (part := profile_of(r)) is not None]
    if not profiled or (chrome is None and speedscope is None):
        return
    record, part = profiled[-1]
    events = read_trace(part.trace)
    if chrome is not None:
        write_whole(chrome, chrome_trace(events))
        print(chrome)
    if speedscope is not None:
        write_whole(speedscope, speedscope_trace(events, record.to_case().label()))
        print(speedscope)
