"""honed tune: the setting of this machine that makes one model run best, found and proven."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from honed.cli.progress import Line
    from honed.record import Record
    from honed.tune.outcome import Outcome
    from honed.tune.session import Progress
    from honed.tune.study import Study
    from honed.tune.trial import Trial


def tune(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]... | show STUDY",
            help="objective=, limit=, budget=, trials=, and settings to fix or to restrict.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with a stored study.")] = None,
    again: Annotated[
        str | None,
        typer.Option(help="Ask a stored study's question here and now, in a few trials."),
    ] = None,
    brute_force: Annotated[
        bool, typer.Option(help="Try every point instead of searching: for small spaces.")
    ] = False,
    warm: Annotated[
        bool, typer.Option(help="Begin with what was best in the nearest earlier study.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line per trial, and last the outcome.")
    ] = False,
    store: Annotated[str | None, typer.Option(help="Database URL of records and studies.")] = None,
) -> None:
    """Find the best setting of this machine for a model, under your limits, and prove it.

    honed tune model=bert-base-uncased objective=throughput limit='latency_p99_ms<=50' budget=10m

    honed tune --resume STUDY; honed tune --again STUDY; honed tune show STUDY

    honed run --from STUDY:best
    """
    from honed.cli.progress import Line
    from honed.tune import api
    from honed.tune.session import Hearers

    words = words or []
    if words[:1] == ["show"]:
        _show(words[1:], store, as_json)
        return
    line = Line()
    hearers = Hearers(
        progress=lambda at: _draw(line, at),
        trial=lambda trial, record: _told(line, study, trial, record, as_json),
        waiting=lambda: line.show("waiting: another honed measures on this machine", ""),
    )
    extra = {"planner": "exhaustive"} if brute_force else {}
    how = api.How(store, config, hearers, extra, warm=warm and not brute_force)
    if again:
        study = api.again(again, words, how)
    else:
        study = api.resumed(resume, words, how) if resume else api.new(words, how)
    print(f"study {study.name}: {_size(study)}", file=sys.stderr)
    if near := study.ask.extra.get("warm_from"):
        print(f"beginning with what was best in {near}", file=sys.stderr)
    try:
        found = api.run(study, how)
    finally:
        line.clear()
    _print(study, found, as_json)
    if found.ended == "interrupted":
        print(f"interrupted; go on with: honed tune --resume {study.name}", file=sys.stderr)
        raise typer.Exit(130)
    raise typer.Exit(0 if found.best is not None else 1)


def _show(names: list[str], store: str | None, as_json: bool) -> None:
    """A stored study's outcome; of one that has not ended, what its trials say so far."""
    from honed.errors import UsageError
    from honed.store import open_store
    from honed.tune import api
    from honed.tune import study as studies

    url = open_store(store).url
    if not names:
        known = studies.names(url)
        raise UsageError("which study?", f"honed tune show {known[-1] if known else 'STUDY'}")
    study = studies.load(url, names[0])
    found = api.outcome(study) or api.so_far(study, api.How(store=store))
    _print(study, found, as_json)


def _size(study: Study) -> str:
    branches = len(study.space.branches)
    keys = ", ".join(d.key for d in study.space.dimensions)
    return f"{branches} engines x precisions; searched: {keys or 'nothing else'}"


def _draw(line: Line, at: Progress) -> None:
    from honed.cli.progress import duration

    left = "" if at.left_s is None else f" · {duration(at.left_s)} left"
    best = f" · best {at.best.trials[0].values[0]:.4g}" if at.best else ""
    line.show(f"[{at.trial}] {at.stage}: {at.setting}", f"{at.phase or ''}{best}{left}")


def _told(line: Line, study: Study, trial: Trial, record: Record | None, as_json: bool) -> None:
    """One ended trial: a line of JSON, or of text."""
    line.clear()
    if as_json:
        print(json.dumps(_trial_json(study, trial, record), allow_nan=False), flush=True)
        return
    objectives = study.ask.objectives
    values = ", ".join(f"{v:.4g} {o.unit}" for o, v in zip(objectives, trial.values, strict=False))
    missed = [k for k, v in trial.violations.items() if v > 0]
    result = values or f"{trial.status}: {trial.message[:100]}"
    limits = f"  misses {', '.join(missed)}" if missed else ""
    print(f"{trial.number:3} {trial.stage:8} {trial.setting}: {result}{limits}", file=sys.stderr)


def _trial_json(study: Study, trial: Trial, record: Record | None) -> dict[str, Any]:
    names = [o.name for o in study.ask.objectives]
    return {
        "study": study.name,
        "trial": trial.number,
        "stage": trial.stage,
        "point": dict(trial.point),
        "status": trial.status,
        "values": dict(zip(names, trial.values, strict=False)),
        "violations": dict(trial.violations),
        "elapsed_s": trial.elapsed_s,
        "record": record.id if record else trial.record,
        "message": trial.message,
    }


def _print(study: Study, found: Outcome, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))
        return
    from rich.console import Console
    from rich.text import Text

    from honed.cli.progress import duration
    from honed.tune import say
    from honed.tune.trial import words as typed

    console = Console()
    console.print(Text(say.headline(found, study.ask.price_per_h), "bold"))
    if found.point is not None:
        console.print(Text(f"setting: {' '.join(typed(found.point))}"))
    if told := say.earned(found):
        console.print("\nwhat earned it:")
        for row in told:
            console.print(Text(f"  {row}"))
    if important := say.importances(found):
        console.print(Text(f"importance in the search: {important}"))
    for line in [*_front(study, found), *_recipe(study, found)]:
        console.print(line, soft_wrap=True)
    note = (
        f"\n{found.trials} trials ({found.failed} without a result) in "
        f"{duration(found.elapsed_s)}; records: honed list sweep={found.study}"
    )
    console.print(Text(note, "dim"))
    if found.note:
        console.print(Text(f"left out at the end: {found.note}", "yellow"))


def _front(study: Study, found: Outcome) -> list[Text]:
    from rich.text import Text

    from honed.tune.trial import words as typed

    units = [o.unit for o in study.ask.objectives]
    rows = []
    for point in found.front:
        values = ", ".join(f"{v:.4g} {u}" for v, u in zip(point.values, units, strict=True))
        rows.append(Text(f"  front: {' '.join(typed(point.point))}: {values}"))
    return rows


def _recipe(study: Study, found: Outcome) -> list[Text]:
    from rich.text import Text

    from honed.tune.recipe import recipe

    if found.point is None:
        return []
    made = recipe(study.space.case(found.point))
    texts = [t for t in (made.command, made.environment, made.python) if t]
    return [Text("\nto reproduce it:"), *(Text(f"\n{t}", "cyan") for t in texts)]
