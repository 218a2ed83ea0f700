"""honed env: environments with other versions of engines; python=NAME measures in one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from honed.environments.environment import Environment
    from honed.environments.installer import Installer

ORDER = 10

app = typer.Typer(
    help="Make, list and remove environments with other engine versions, for python=NAME.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name, as in python=NAME.")]
Packages = Annotated[
    list[str],
    typer.Argument(metavar="PACKAGE...", help="Packages, as pip takes them: torch==2.8.0"),
]
Kind = Annotated[str, typer.Option("--installer", help="uv, pip, or auto: uv if it is installed.")]
NoDeps = Annotated[bool, typer.Option("--no-deps", help="Install these packages and no others.")]
Index = Annotated[
    list[str] | None,
    typer.Option("--extra-index-url", help="Another package index, such as PyTorch's for CPUs."),
]


@app.command("create")
def create(
    name: Name,
    packages: Packages,
    python: Annotated[
        str | None, typer.Option(help="Interpreter: a path, a command, or a version.")
    ] = None,
    installer: Kind = "auto",
    share: Annotated[
        bool,
        typer.Option("--share", help="Take every other package from honed's own environment."),
    ] = False,
    no_deps: NoDeps = False,
    extra_index_url: Index = None,
) -> None:
    """Make an environment of these packages (and numpy, which honed's worker needs)."""
    from honed import environments

    how = _installer(installer, python, no_deps, extra_index_url)
    words = tuple(packages)
    _install(f"making {name}", how, lambda it: environments.create(name, words, it, shared=share))


@app.command("add")
def add(
    name: Name,
    packages: Packages,
    installer: Kind = "auto",
    no_deps: NoDeps = False,
    extra_index_url: Index = None,
) -> None:
    """Install more packages, or other versions, in an environment."""
    from honed import environments

    how = _installer(installer, None, no_deps, extra_index_url)
    _install(f"adding to {name}", how, lambda it: environments.add(name, tuple(packages), it))


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="One environment a line.")] = False,
) -> None:
    """List the environments: Python, requested packages, size and folder."""
    from honed import environments

    entries = environments.entries()
    if as_json:
        for entry in entries:
            print(json.dumps(described(entry) | {"size_bytes": entry.size_bytes}))
        return
    if not entries:
        print("no environments yet: honed env create NAME PACKAGE...")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "python", "packages", "MiB", "folder", box=None, pad_edge=False)
    table.columns[0].no_wrap = True  # it is typed again
    table.columns[0].min_width = max(len(entry.name) for entry in entries)
    table.columns[3].justify = "right"
    table.columns[4].overflow = "fold"
    for entry in entries:
        size = f"{entry.size_bytes / 2**20:.0f}"
        table.add_row(entry.name, _python(entry), _versions(entry), size, str(entry.folder))
    Console().print(table)


@app.command("remove")
def remove(name: Name) -> None:
    """Delete an environment. Records that ran in it keep its versions."""
    from honed import environments

    gone = environments.remove(name)
    print(f"removed {gone.name}: {gone.folder}")


def described(entry: Environment) -> dict[str, Any]:
    """An environment as JSON."""
    return {
        "name": entry.name, "python": entry.python, "interpreter": str(entry.interpreter),
        "works": entry.works, "created": entry.created, "requirements": list(entry.requirements),
        "packages": dict(entry.packages()),
    }  # fmt: skip


def _installer(
    kind: str, python: str | None, no_deps: bool, indexes: list[str] | None
) -> Installer:
    from honed.environments.installer import Installer

    options = ["--no-deps"] if no_deps else []
    for url in indexes or []:
        options += ["--extra-index-url", url]
    return Installer(kind, python, tuple(options))


def _install(head: str, how: Installer, work: Callable[[Installer], Environment]) -> None:
    """Run `work`, show the lines that the installer prints, and then what was made."""
    from honed.cli._progress import Line

    line = Line()
    try:
        made = work(replace(how, on_line=lambda text: line.show(head, text)))
    finally:
        line.clear()
    print(f"{made.name}: Python {made.python}, {_versions(made)}")
    print(f"  use it: honed run model=NAME python={made.name}")


def _python(entry: Environment) -> str:
    return entry.python if entry.works else f"{entry.python} (gone: remove and make it again)"


def _versions(entry: Environment) -> str:
    """The installed versions of the packages that the user asked for."""
    there = entry.packages()
    requested = [re.split(r"[^A-Za-z0-9_.-]", w, maxsplit=1)[0] for w in entry.requirements]
    names = [name.lower().replace("_", "-") for name in requested]
    known = [f"{name} {there[name]}" for name in names if name in there]
    return ", ".join(known) or " ".join(Path(w).name for w in entry.requirements)
