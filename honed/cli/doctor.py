"""honed doctor: what this machine is, what is set badly, which knobs can be turned here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from honed.machine.doctor import Diagnosis


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Tell what this machine is, what to mend, which engines and knobs it has. Changes nothing."""
    from honed.compose import all_knobs
    from honed.machine.doctor import examine

    diagnosis = examine(all_knobs().values())
    if as_json:
        print(json.dumps(diagnosis.to_json() | {"engines": _engines()}, default=str))
        return
    from rich.console import Console

    console = Console()
    _print_machine(console, diagnosis)
    _print_warnings(console, diagnosis)
    _print_engines(console)
    _print_knobs(console, diagnosis)


def _engines() -> list[dict[str, Any]]:
    from honed.backends.base import backend_names, load_backend

    found = []
    for name in backend_names():
        backend = load_backend(name)
        here = backend.available()
        found.append(
            {
                "name": name,
                "available": here.ok,
                "help": backend.HELP,
                "precisions": list(backend.PRECISIONS),
                "versions": dict(backend.versions()),
                "why": here.why,
                "how": here.how,
            }
        )
    return found


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

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for engine in _engines():
        mark = "[green]yes[/]" if engine["available"] else "[red]no[/]"
        told = engine["help"] if engine["available"] else f"{engine['why']}: {engine['how']}"
        table.add_row("", mark, engine["name"], " ".join(engine["precisions"]), told)
    console.print("\n[bold]Engines[/]")
    console.print(table)


def _print_knobs(console: Any, diagnosis: Diagnosis) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "", "knob", "now", "what it does", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for knob in diagnosis.knobs:
        some = knob.available and knob.why
        mark = "[yellow]part[/]" if some else "[green]yes[/]" if knob.available else "[red]no[/]"
        told = Text(knob.help)
        values = ", ".join(v if ok else f"({v})" for v, ok in knob.values.items())
        if values:
            told.append(f": {values}", style="dim")
        if knob.why:
            told.append(f"\n{knob.why}", style="yellow")
        if knob.how:
            told.append(f"\n{knob.how}", style="bold")
        now = "" if knob.state is None else str(knob.state).lower()
        table.add_row(mark, knob.name, now, told)
    console.print("\n[bold]Knobs[/] (values in brackets are not to be had here)")
    console.print(table)
