"""honed tune: find the setting of this machine that makes one model run best, and prove it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from honed.cli._progress import Line
    from honed.record import Record
    from honed.study import Candidate, Outcome, Trial
    from honed.tune.context import TuneProgress
    from honed.tune.storage import Study

ORDER = 3
_ROOMY = 60  # columns of a terminal


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
    resume: Annotated[
        str | None, typer.Option(help="Go on with a stored study: its name, or last.")
    ] = None,
    again: Annotated[
        str | None, typer.Option(help="Repeat a stored study on this machine, in a few trials.")
    ] = None,
    brute_force: Annotated[
        bool, typer.Option(help="Try every setting instead of searching: for small spaces.")
    ] = False,
    warm: Annotated[
        bool, typer.Option(help="Begin with the best settings of the nearest earlier study.")
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
    from honed.cli._progress import Line
    from honed.tune import api
    from honed.tune.context import Listeners

    words = words or []
    if words[:1] == ["show"]:
        _show(words[1:], store, as_json)
        return
    if resume or again:
        _check_stored(resume, again, new_only={"--brute-force": brute_force, "--config": config})
    line = Line()
    listeners = Listeners(
        progress=lambda at: _draw(line, at),
        trial=lambda *told: _print_trial(line, study, told, as_json),
        waiting=lambda: line.show("waiting: another honed measures on this machine", ""),
    )
    extra = {"planner": "exhaustive"} if brute_force else {}
    options = api.TuneOptions(store, config, listeners, extra, warm=warm and not brute_force)
    if again:
        study = api.again(again, words, options)
    else:
        study = api.resumed(resume, words, options) if resume else api.new(words, options)
    print(f"study {study.name}: {_size(study)}", file=sys.stderr)
    if why := api.why_ended(study):
        print(why, file=sys.stderr)
    if near := study.question.extra.get("warm_from"):
        print(f"beginning with the best settings of {near}", file=sys.stderr)
    try:
        outcome = api.run(study, options)
    finally:
        line.clear()
    _print(study, outcome, as_json)
    if outcome.ended == "interrupted":
        print(f"interrupted; go on with: honed tune --resume {study.name}", file=sys.stderr)
        raise typer.Exit(130)
    raise typer.Exit(0 if outcome.best is not None else 1)


def _check_stored(resume: str | None, again: str | None, new_only: Mapping[str, object]) -> None:
    """UsageError for an option that a stored study would leave out."""
    from honed.errors import UsageError

    if resume and again:
        raise UsageError("--resume goes on with a study, and --again is a new one", "give one")
    for option, given in new_only.items():
        if given:
            raise UsageError(f"{option} is for a new study", f"drop {option}, or name no study")


def _show(names: list[str], store: str | None, as_json: bool) -> None:
    """Print a stored study's outcome; of a study that has not ended, what its trials say."""
    from honed.errors import UsageError
    from honed.store import open_store
    from honed.tune import api, storage

    url = open_store(store).url
    if not names:
        known = storage.names(url)
        raise UsageError("which study?", f"honed tune show {known[-1] if known else 'STUDY'}")
    if len(names) > 1:
        raise UsageError("honed tune show takes one study", f"honed tune show {names[0]}")
    study = storage.load(url, names[0])
    outcome = study.outcome or api.so_far(study, api.TuneOptions(store=store))
    _print(study, outcome, as_json)


def _size(study: Study) -> str:
    branches = len(study.space.branches)
    keys = ", ".join(d.key for d in study.space.dimensions)
    return f"{branches} engines x precisions; searched: {keys or 'nothing else'}"


def _draw(line: Line, at: TuneProgress) -> None:
    from honed.cli._progress import duration

    left = "" if at.left_s is None else f" · {duration(at.left_s)} left"
    best = f" · best {at.best.trials[0].values[0]:.4g}" if at.best else ""
    line.show(f"[{at.trial}] {at.stage}: {at.setting.name}", f"{at.phase or ''}{best}{left}")


def _print_trial(
    line: Line, study: Study, told: tuple[Trial, Record | None, Candidate | None], as_json: bool
) -> None:
    """One ended trial: a line of JSON, or of text that says what differs from the best so far."""
    from honed.tune import say

    trial, record, best = told
    line.clear()
    if as_json:
        values = dict(zip(study.question.objectives, trial.values, strict=False))
        plain = {
            "study": study.name, "trial": trial.number, "stage": trial.stage,
            "point": dict(trial.setting), "status": trial.status, "values": values,
            "violations": dict(trial.violations), "elapsed_s": trial.elapsed_s,
            "record": record.id if record else trial.record, "message": trial.message,
        }  # fmt: skip
        print(json.dumps(plain, allow_nan=False), flush=True)
        return
    shown = zip(trial.values, study.question.measures, strict=False)
    result = ", ".join(f"{value:.4g} {measure.shown_unit}" for value, measure in shown)
    missed = [limit for limit, share in trial.violations.items() if share > 0]
    limits = f"  misses {', '.join(missed)}" if missed else ""
    text = result or f"{trial.status}: {trial.message[:100]}"
    name = say.beside(trial.setting, best.setting if best else None)
    print(f"{trial.number:3} {trial.stage:8} {name}: {text}{limits}", file=sys.stderr)


def _print(study: Study, outcome: Outcome, as_json: bool) -> None:
    from honed.plain import to_plain

    if as_json:
        print(json.dumps(to_plain(outcome), allow_nan=False))
        return
    from rich.console import Console
    from rich.text import Text

    from honed.cli._progress import duration
    from honed.tune import say

    console = Console()
    console.print(Text(say.headline(outcome, study.question), "bold"))
    if outcome.point is not None:
        console.print(Text(f"setting: {outcome.point.name}"))
    if outcome.steps:
        console.print()
        console.print(_steps(outcome, console.width))
    if left_out := say.dropped(outcome):
        console.print(Text(f"not recommended, as no gain was proven: {left_out}"))
    if shares := say.importances(outcome):
        console.print(Text(f"importance in the search: {shares}"))
    for line in _front_and_recipe(study, outcome):
        console.print(line, soft_wrap=True)
    note = (
        f"\n{say.counted(outcome.trials)} ({outcome.failed} without a result) in "
        f"{duration(outcome.elapsed_s)}; records: honed list sweep={outcome.study}"
    )
    console.print(Text(note, "dim"))
    if outcome.note:
        console.print(Text(f"when measured again: {outcome.note}", "yellow"))


def _steps(outcome: Outcome, width: int) -> Table:
    """The way from the default to the recommendation, a row for each step, and the whole gain."""
    from rich.table import Table
    from rich.text import Text

    from honed.tune import say

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("step", "from → to", "times better (95 %)", "measured"):
        # Long names of knobs are folded, not cut; where there is room, numbers stay on one line.
        is_number = heading.startswith("times") and width >= _ROOMY
        table.add_column(heading, header_style="dim", overflow="fold", no_wrap=is_number)
    for row in say.steps(outcome):
        table.add_row(*map(Text, row))
    table.add_row("all steps", "", Text(say.gain(outcome.gain)), "", style="bold")
    return table


def _front_and_recipe(study: Study, outcome: Outcome) -> list[Text]:
    from rich.text import Text

    from honed.tune.recipe import recipe

    units = [m.shown_unit for m in study.question.measures]
    texts = []
    for at in outcome.front:
        values = ", ".join(f"{v:.4g} {u}" for v, u in zip(at.values, units, strict=True))
        texts.append(Text(f"  Pareto front: {at.point.name}: {values}"))
    if outcome.point is not None:
        ways = recipe(study.space.case(outcome.point))
        texts.append(Text("\nto reproduce it:"))
        texts += [Text(f"\n{t}", "cyan") for t in astuple(ways) if t]
    return texts
