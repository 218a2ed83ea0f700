"""honed ci: a gate for a project's CI, which measures base and head in turns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ORDER = 8

app = typer.Typer(
    help="Write files with which CI tells whether a change makes a model slower.",
    no_args_is_help=True,
)


@app.callback()
def _ci() -> None:
    """Keeps `init` a sub-command although it is the only one."""


@app.command("init")
def init(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", help="What is measured, as for honed run."),
    ] = None,
    system: Annotated[str, typer.Option(help="github or gitlab.")] = "github",
    resolution: Annotated[str, typer.Option(help="The least difference that matters.")] = "2%",
    limit: Annotated[
        str | None,
        typer.Option("--fail-if-slower", help="Fail only where it is slower by more, as 5%."),
    ] = None,
    budget: Annotated[str, typer.Option(help="The most time that the comparison takes.")] = "5m",
    folder: Annotated[Path, typer.Option(help="The root of the repository.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a script, ci/honed-gate.sh, and the job that runs it.

    honed ci init model=./my-encoder backend=onnxruntime precision=int8

    The script makes an environment of the base and one of the head, measures them in turns, and
    leaves the verdict in honed-gate/summary.md. Exit code 0: not slower; 1: slower, or a trial
    failed; 3: undecided.
    """
    from honed.ci.write import Gate, files, next_step, write

    texts = files(Gate(tuple(words or ()), resolution, limit, budget), system)
    for path in write(texts, folder, replace=force):
        print(path)
    print(next_step(system), file=sys.stderr)
