"""The honed command in the test's process, which has loaded its modules already."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from honed.cli import app
from honed.errors import HonedError, UsageError


@dataclass(frozen=True)
class Done:
    """As subprocess.CompletedProcess has it. `stderr` ends with the error and what to try."""

    returncode: int
    stdout: str
    stderr: str


def honed(cwd: Path, *words: str, **environment: str) -> Done:
    """Run `honed WORDS` in a folder. What is no error for users is raised, as it is a bug."""
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(app, words, env=environment)
    error = done.exception
    if isinstance(error, HonedError):
        code = 2 if isinstance(error, UsageError) else 1
        said = f"{done.stderr}honed: {error.message}\n  try: {error.hint}\n"
        return Done(code, done.stdout, said)
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Done(done.exit_code, done.stdout, done.stderr)
