"""honed doctor: the machine, its bad settings, and the engines and knobs that work on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from honed.backends.base import Backend
    from honed.machine.doctor import Diagnosis

ORDER = 9


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show this machine, what to fix, and which engines and knobs it has. Changes nothing."""
    from honed import environments
    from honed.backends.base import engine_packages
    from honed.cli.env import described
    from honed.knobs import listed_knobs
    from honed.machine.doctor import examine

    diagnosis = examine(listed_knobs().values(), packages=engine_packages())
    if as_json:
        found = [described(entry) for entry in environments.entries()]
        more = {"engines": _engines(), "environments": found}
        print(json.dumps(diagnosis.to_json() | more, default=str))
        return
    from rich.console import Console

    console = Console()
    _print_machine(console, diagnosis)
    _print_warnings(console, diagnosis)
    _print_engines(console)
    _print_environments(console)
    _print_knobs(console, diagnosis)


def _engines() -> list[dict[str, Any]]:
    from honed.backends.base import survey_backends

    survey = survey_backends()
    working = [_engine(name, backend) for name, backend in survey.listed.items()]
    nothing = {"available": False, "help": "", "precisions": [], "versions": {}}
    broken = [
        {"name": name, **nothing, "why": error.message, "how": error.hint}
        for name, error in survey.broken.items()
    ]
    return sorted(working + broken, key=lambda engine: str(engine["name"]))


def _engine(name: str, backend: Backend) -> dict[str, Any]:
    availability = backend.available()
    return {
        "name": name, "available": availability.ok, "help": backend.HELP,
        "precisions": list(backend.PRECISIONS), "versions": dict(backend.versions()),
        "why": availability.why, "how": availability.how,
    }  # fmt: skip


def _print_machine(console: Any, diagnosis: Diagnosis) -> None:
    facts, shape = diagnosis.facts, diagnosis.topology
    console.print(f"[bold]{facts['cpu']}[/], {facts['architecture']}", highlight=False)
    console.print(
        f"  {shape['sockets']} socket(s), {shape['cores']} cores, {shape['cpus']} CPUs, "
        f"{len(shape['nodes'])} memory node(s), {facts['memory_gib']} GiB",
        highlight=False,
    )
    why = "; ".join(f"{k} {v}" for k, v in diagnosis.limits["why"].items())
    console.print(f"  effective: {diagnosis.effective_cpus} CPUs ({why})", highlight=False)
    console.print(f"  instructions: {' '.join(facts['flags'])}", highlight=False)
    native = [f"{p.name} {p.native_by}" for p in diagnosis.precisions if p.native_by]
    if native:
        console.print(f"  native: {', '.join(native)}", highlight=False)
    for state in diagnosis.precisions:
        if state.why:
            console.print(f"  [yellow]{state.name} is emulated[/]: {state.why}", highlight=False)


def _print_warnings(console: Any, diagnosis: Diagnosis) -> None:
    console.print("\n[bold]To mend[/]")
    if not diagnosis.warnings:
        console.print("  nothing found")
    for warning in diagnosis.warnings:
        console.print(f"  [yellow]{warning.kind}[/]: {warning.message}", highlight=False)
        if warning.fix:
            console.print(f"    {warning.fix}", highlight=False, markup=False)


def _print_engines(console: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for engine in _engines():
        mark = _mark(engine["available"])
        about = engine["help"] if engine["available"] else f"{engine['why']}: {engine['how']}"
        table.add_row("", mark, engine["name"], " ".join(engine["precisions"]), Text(about))
    console.print("\n[bold]Engines[/]")
    console.print(table)


def _print_environments(console: Any) -> None:
    """Print them only where there are some: most people need none."""
    from rich.table import Table
    from rich.text import Text

    from honed import environments

    entries = environments.entries()
    if not entries:
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for entry in entries:
        mark, packages = _mark(entry.works), Text(" ".join(entry.requirements))
        table.add_row("", mark, f"python={entry.name}", f"Python {entry.python}", packages)
    console.print("\n[bold]Environments[/]")
    console.print(table)


def _mark(works: bool) -> str:
    return "[green]yes[/]" if works else "[red]no[/]"


def _print_knobs(console: Any, diagnosis: Diagnosis) -> None:
    from rich.table import Table
    from rich.text import Text

    from honed.values import as_typed

    table = Table(
        "", "knob", "now", "what it does", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for knob in diagnosis.knobs:
        mark = "[yellow]part[/]" if knob.available and knob.why else _mark(knob.available)
        about = Text(knob.help)
        values = ", ".join(v if ok else f"({v})" for v, ok in knob.values.items())
        if values:
            about.append(f": {values}", style="dim")
        if knob.why:
            about.append(f"\n{knob.why}", style="yellow")
        if knob.how:
            about.append(f"\n{knob.how}", style="bold")
        now = "" if knob.state is None else as_typed(knob.state)
        table.add_row(mark, knob.name, now, about)
    console.print("\n[bold]Knobs[/] (values in brackets are not available here)")
    console.print(table)
