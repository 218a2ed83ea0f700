"""honed verify: does a delivered folder keep its promises on this machine?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ORDER = 8


def verify(
    folder: Annotated[Path, typer.Argument(help="What `honed export --artifact` wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="The promises as a list.")] = False,
    rounds: Annotated[int, typer.Option(min=0, help="Pairs of processes for the speed.")] = 5,
) -> None:
    """Check the files, packages, outputs, settings in force and speed of a delivered folder.

    Exit code 0: every promise holds; 1: a promise is broken; 2: a word was wrong; 3: undecided.
    """
    from honed.deliver.standalone import verify as check
    from honed.errors import UsageError

    if not (folder / "settings.json").is_file():
        raise UsageError(
            f"{folder} is not a delivered folder: it has no settings.json",
            "honed export --artifact STUDY:best FOLDER",
        )
    words = [str(folder), "--rounds", str(rounds), *(["--json"] if as_json else [])]
    raise typer.Exit(check.main(words))
