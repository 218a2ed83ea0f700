"""honed suite: a fixed set of experiments, measured and reported by one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from honed.record import Record
    from honed.run.lab import Lab
    from honed.store import Store
    from honed.suite.measure import SuitePlan

ORDER = 4


def suite(
    name: Annotated[
        str | None, typer.Argument(help="The suite; without it, all suites are listed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The report; unset: NAME.html.", dir_okay=False)
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny models and shapes: does everything run?")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Measure all of it anew, also what is measured.")
    ] = False,
    store: Annotated[str | None, typer.Option(help="Database URL for the records.")] = None,
) -> None:
    """Measure a fixed set of experiments, and write one page with tables, pictures and findings.

    honed suite lm-systems

    What will not fit into memory by its plan is skipped, and the page says why. Typed again after
    an interruption, it goes on where it stopped; typed again at the end, it writes the page anew.

    Exit code 0: everything was measured, or skipped for its memory, or is unknown to an engine;
    1: something failed; 130: interrupted.
    """
    if name is None:
        _list_suites()
        return
    from honed.run.lab import LocalLab
    from honed.store import open_store
    from honed.suite.measure import plan_suite

    with open_store(store) as opened:
        plan = plan_suite(opened, name, quick=quick, again=again)
        records = _measure(plan, LocalLab(opened))
        path = _report(opened, plan, out or Path(f"{name}{'-quick' if quick else ''}.html"))
    print(path)
    if any(record.status == "interrupted" for record in records):
        left = len(plan.sweep.todo) - len(records) + 1
        again_words = f"honed suite {name}{' --quick' if quick else ''}"
        print(f"interrupted; {left} to go: {again_words}", file=sys.stderr)
        raise typer.Exit(130)
    failed = [r for r in records if r.metrics is None and r.status != "oom" and not r.is_lacking]
    raise typer.Exit(1 if failed else 0)


def _measure(plan: SuitePlan, lab: Lab) -> list[Record]:
    from honed.cli._progress import Line, duration
    from honed.suite.measure import measure_suite

    count, done = len(plan.sweep.sweep.cases), plan.sweep.done
    skipped = f", {done} already done" if done else ""
    experiments = f"{len(plan.experiments)} experiment{'s' * (len(plan.experiments) > 1)}"
    about = f"{plan.name}: {experiments}, {count} cases{skipped}"
    if plan.sweep.todo and not plan.quick:  # one case of a quick run is too large on purpose
        about += f": at most about {duration(plan.sweep.estimate_s)}"
    print(about, file=sys.stderr)
    line = Line()
    records: list[Record] = []
    try:
        for record in measure_suite(plan, lab, line):
            line.clear()
            records.append(record)
            if record.error is not None and record.status != "ok":
                label = record.to_case().label()
                print(f"{label}: {record.status}: {record.error.message}", file=sys.stderr)
    finally:
        line.clear()
    return records


def _report(store: Store, plan: SuitePlan, out: Path) -> Path:
    from honed.report.suite import write
    from honed.suite.measure import results

    return write(plan.name, results(store, plan), out)


def _list_suites() -> None:
    from honed.suite.base import load_suite, suite_names

    for name in suite_names():
        print(f"{name}: {load_suite(name).HELP}")
