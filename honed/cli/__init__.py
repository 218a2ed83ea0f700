"""The command line: parses and prints, never computes. One verb, one file.

Nothing heavy is imported before a verb runs: `honed --help` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import typer

from honed.cli import cache, compare, doctor, env, export, list_, report, run, scale, show, tune
from honed.errors import HonedError, UsageError

app = typer.Typer(
    help="How a transformer runs on your machine, made as good as it gets, and proven.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("show")(show.show)
app.command("list")(list_.list_)
app.command("doctor")(doctor.doctor)
app.command("scale")(scale.scale)
app.command("tune")(tune.tune)
app.command("report")(report.report)
app.command("export")(export.export)
app.add_typer(cache.app, name="cache")
app.add_typer(env.app, name="env")


def main() -> None:
    """The `honed` command. 0: all well; 1: something failed; 2: a word was wrong; 130: Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_interrupt)
    try:
        app()
    except HonedError as error:
        print(f"honed: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  try: {error.hint}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) went away; Python must not try to flush to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
