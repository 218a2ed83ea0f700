"""honed skill: a skill file that teaches agents how to use this honed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ORDER = 12


def skill(
    out: Annotated[
        Path | None,
        typer.Option(help="A folder of skills: honed/SKILL.md is written into it."),
    ] = None,
) -> None:
    """Print a skill file for agents, made from the verbs and settings of this version.

    honed skill --out ~/.claude/skills
    """
    from honed.agents.skill import NAME
    from honed.agents.skill import skill as text_of
    from honed.cli import app
    from honed.files import give

    commands = typer.main.get_group(app).commands
    text = text_of({name: commands[name].get_short_help_str(200) for name in commands})
    if out is None:
        sys.stdout.write(text)
        return
    path = out.expanduser() / NAME / "SKILL.md"
    print(give(path, text, "--out FOLDER"))
