"""honed deploy: files that run `honed serve` elsewhere, with the cores and memory of a setting."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from honed.record import Record

ORDER = 8


def deploy(
    kind: Annotated[str, typer.Argument(help="dockerfile, compose, systemd or kubernetes.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="As for honed serve.", show_default=False),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from", help="Deploy best, STUDY:best, STUDY:default or the Case of a record's id."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file; by default standard output.")] = None,
    store: Annotated[str | None, typer.Option(help="Database URL for --from.")] = None,
) -> None:
    """Print a deployment file for `honed serve` with these words.

    honed deploy dockerfile --from STUDY:best --out Dockerfile

    The memory limit comes from the record that --from names; other words leave it out.
    """
    from honed.cli.serve import case_of
    from honed.files import give
    from honed.serve.deploy.base import deployment, load_kind
    from honed.serve.settings import split

    module = load_kind(kind)
    settings, others = split(words or [])
    given = [word for word in words or [] if word not in others]
    case = case_of(others, origin, None, store)
    text = module.write(deployment(case, settings, given, _record(origin, store)))
    if out is None:
        print(text, end="")
    else:
        print(give(out, text, "--out FILE"), file=sys.stderr)


def _record(origin: str | None, store: str | None) -> Record | None:
    """The record that is named, whose memory is then known; None for a study's setting."""
    from honed.store import open_store

    if origin is None or origin == "best" or ":" in origin:
        return None
    return open_store(store, make=False).get(origin)
