"""The command line: it parses and prints, and never computes. One verb, one file.

A verb is a file of this folder that holds a function of the file's name, or a Typer app `app`.
`honed --help` lists the verbs by their ORDER. A verb's file is imported when the verb is used, and
imports in turn what it needs only when it runs, so that `honed --help` answers at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import honed
from honed import discovery, surroundings
from honed.errors import HonedError, UsageError


class _Verbs(Mapping[str, Any]):
    """Verb -> its command, made when it is asked for; listed by ORDER."""

    def __getitem__(self, verb: str) -> Any:
        stems = {stem.removesuffix("_"): stem for stem in discovery.names(__name__)}
        return _command(stems[verb], verb)

    def __iter__(self) -> Iterator[str]:
        files = discovery.survey(__name__).working
        order = sorted(files, key=lambda stem: (getattr(files[stem], "ORDER", 99), stem))
        return (stem.removesuffix("_") for stem in order)

    def __len__(self) -> int:
        return len(discovery.names(__name__))


class _Group(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Verbs()  # type: ignore[assignment]  # nothing adds a verb at run time


@cache
def _command(stem: str, verb: str) -> Any:
    """The verb of the file `stem`.py; `list_.py` holds `list`, whose name Python has taken."""
    module = discovery.load(__name__, stem)
    only = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    if (group := getattr(module, "app", None)) is not None:
        only.add_typer(group, name=verb)
    else:
        only.command(verb)(getattr(module, stem))
    return typer.main.get_group(only).commands[verb]


app = typer.Typer(
    cls=_Group,
    help="Measure how a transformer runs on this machine, find its best setting, and prove it.",
    no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _print_version(asked: bool) -> None:
    if asked:
        print(f"honed {honed.__version__}")
        raise typer.Exit


@app.callback()
def _honed(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """The words before the verb; typer also builds the group because of it."""


def main() -> None:
    """The `honed` command. Exit codes: 0 success; 1 a failure; 2 a wrong word; 130 Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_interrupt)
    code: int | str | None = 0
    try:
        if notice := surroundings.settle():
            print(f"honed: {notice}", file=sys.stderr)
        try:
            app()
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()  # a full disk is told here, not in a traceback at exit
    except HonedError as error:
        code = _told(error)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # the reader (head, less) went away
        _give_up_output()
        code = 1
    except OSError as error:
        if (explained := surroundings.explain(error)) is None:
            raise
        _give_up_output()
        code = _told(explained)
    sys.exit(code)


def _told(error: HonedError) -> int:
    """Print the error and what to type next; returns the exit code."""
    with contextlib.suppress(OSError):
        print(f"honed: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  try: {error.hint}", file=sys.stderr)
    return 2 if isinstance(error, UsageError) else 1


def _give_up_output() -> None:
    """Python must not flush to a closed pipe or a full disk at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
