"""honed blame: which release of a package made a setting slower, with an interval."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli._formats import check_text_format
from honed.measures import COMPARED

if TYPE_CHECKING:
    from honed.blame.outcome import Blame
    from honed.cli._progress import Line
    from honed.compare.session import CompareProgress

ORDER = 3

_VERSIONS = "versions="
_EXIT_CODES = {"found": 0, "not slower": 0, "undecided": 3, "interrupted": 130}


def blame(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="versions=PACKAGE==OLD..NEW [KEY=VALUE]...",
            help="The releases to search, and the setting, as for honed run.",
            show_default=False,
        ),
    ] = None,
    resolution: Annotated[str, typer.Option(help="The least difference that matters.")] = "2%",
    budget: Annotated[str, typer.Option(help="The most time for all comparisons.")] = "30m",
    metric: Annotated[
        str, typer.Option(metavar=f"[{'|'.join(COMPARED)}]", help="What is compared.")
    ] = "latency",
    others: Annotated[
        list[str] | None,
        typer.Option("--with", help="Another package for each environment: onnx==1.18."),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Install all that a release needs, and share no package of honed's."
        ),
    ] = False,
    installer: Annotated[
        str, typer.Option(help="uv, pip, or auto: uv if it is installed.")
    ] = "auto",
    extra_index_url: Annotated[
        list[str] | None, typer.Option(help="Another package index.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object on stdout.")] = False,
    format: Annotated[
        str | None, typer.Option("--format", metavar="[md]", help="Print the result as Markdown.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="Database URL for the records.")] = None,
) -> None:
    """Find the release that made a setting slower, by halving.

    honed blame model=MiniLM-L6 backend=onnxruntime versions='onnxruntime==1.27..1.31'

    Each release gets an environment that differs from honed's in that package only. Exit code 0:
    a release was found, or the newest is not slower; 1: an end of the range gave no result; 2: a
    word was wrong; 3: undecided.
    """
    from honed import units
    from honed.blame import releases as of
    from honed.blame import search
    from honed.blame.environment import maker
    from honed.cli._progress import Line
    from honed.compose import compose
    from honed.environments.index import releases
    from honed.environments.installer import Installer
    from honed.errors import UsageError
    from honed.run import lab
    from honed.store import open_store

    check_text_format(format, ("md",), as_json=as_json)
    asked = [word for word in words or [] if word.startswith(_VERSIONS)]
    if len(asked) != 1:
        raise UsageError("which releases?", "versions='onnxruntime==1.27..1.31'")
    cases = compose([word for word in words or [] if word not in asked]).cases
    if len(cases) != 1:
        raise UsageError(f"{len(cases)} cases, and a search is for one", "give single values")
    line = Line()
    options = search.BlameOptions(
        metric, units.share(resolution), units.seconds(budget),
        on_progress=lambda older, newer, at: _draw(line, older, newer, at),
    )  # fmt: skip
    urls = [word for url in extra_index_url or [] for word in ("--extra-index-url", url)]
    wanted = of.parse(asked[0].removeprefix(_VERSIONS), lambda name: releases(name, urls))
    known = ", ".join(wanted.versions)
    print(f"{wanted.package}: {len(wanted.versions)} releases: {known}", file=sys.stderr)
    how = Installer(installer, None, tuple(urls), lambda text: line.show("installing", text))
    prepare = maker(wanted.package, how, others or (), shared=not whole)
    try:
        with open_store(store) as opened:
            found = search.blame(cases[0], wanted, prepare, options, lab.LocalLab(opened))
    except search.Interrupted as stopped:
        found = stopped.blame
    finally:
        line.clear()
    _print(found, format, as_json=as_json)
    raise typer.Exit(_EXIT_CODES[found.ended])


def _draw(line: Line, older: str, newer: str, at: CompareProgress) -> None:
    from honed.cli._progress import duration
    from honed.compare.say import interval

    shown = ", ".join(interval(contrast.ratio) for contrast in at.contrasts)
    left = f"at most {duration(at.left_s)} left"
    line.show(f"{older} and {newer}: {shown or 'first trials'}", f"trial {at.trial} · {left}")


def _print(found: Blame, format: str | None, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))
        return
    from honed.show.blame import blame_markdown, blame_table

    if format == "md":
        sys.stdout.write(blame_markdown(found))
        return
    from rich.console import Console
    from rich.text import Text

    from honed.blame.say import headline
    from honed.cli._progress import duration

    console = Console()
    console.print(Text(headline(found), "bold"))
    if found.looks:
        console.print()
        console.print(blame_table(found))
    for skipped in found.skipped:
        console.print(Text(f"skipped {skipped.version}: {skipped.reason}", "yellow"))
    trials = sum(look.trials for look in found.looks)
    sweeps = " ".join(f"sweep={look.sweep}" for look in found.looks[-1:])
    note = f"{trials} trials in {duration(found.elapsed_s)}"
    console.print(
        Text(f"{note}; the last records: honed list {sweeps}" if sweeps else note, "dim")
    )
