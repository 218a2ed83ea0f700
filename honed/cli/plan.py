"""honed plan: how much memory a model will take, before anything runs, and what fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from honed.plan.answer import Plan
    from honed.plan.deployment_records import Bench
    from honed.plan.question import Question

ORDER = 3


def plan(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings; --keys lists them.", show_default=False
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object a line on stdout.")] = False,
    timeline: Annotated[
        Path | None,
        typer.Option(help="Write memory over time, by kind, to this HTML file.", dir_okay=False),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also run it on this CPU, and compare.")
    ] = False,
    snapshot: Annotated[
        Path | None,
        typer.Option(
            help="Replay a recorded history of torch's GPU allocator on the simulator, and stop."
        ),
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="List plan's own settings and stop.")
    ] = False,
    store: Annotated[
        str | None, typer.Option(help="Database URL of the records that deployments use.")
    ] = None,
) -> None:
    """Predict memory. The model does not run, and no weights are allocated.

    honed plan model=bert-large-uncased mode=train batch_size=8 sequence_length=512
    device=cuda:16GiB max_batch=true

    honed plan model=bert-base-uncased mode=infer,train memory=8GiB

    honed plan model=bert-base-uncased backend=openvino precision=int8 instances=2 threads=1

    Exit code 0: planned, and all of it fits; 1: something does not fit or cannot be planned;
    2: a word was wrong.
    """
    if keys:
        _list_keys()
        return
    if snapshot is not None:
        _replay(snapshot, as_json=as_json)
        return
    from honed.cli._progress import Line
    from honed.plan.answer import answer
    from honed.plan.deployment_records import local_bench
    from honed.plan.question import parse

    question = parse(words or [], config)
    _check_options(question, draws=timeline is not None, verifies=verify)
    line = Line()
    try:
        bench = local_bench(store, measures=question.measures)
        found = answer(question, lambda head: line.show(head, "planning"), bench)
    finally:
        line.clear()
    if as_json:
        answers = (found.predictions, found.grids, found.deployments)
        for data in (one.to_json() for of_kind in answers for one in of_kind):
            print(json.dumps(data, allow_nan=False))
    else:
        _print(found)
    if timeline is not None:
        _draw(found, timeline)
    if verify:
        _verify(question, as_json=as_json)
        _verify_deployments(found, bench, as_json=as_json)
    fits = [*(p.fits for p in found.predictions), *(d.fits for d in found.deployments)]
    raise typer.Exit(1 if False in fits else 0)


def _check_options(question: Question, *, draws: bool, verifies: bool) -> None:
    """UsageError for options that the question has no answer to, before anything is planned."""
    from honed.errors import UsageError

    if draws and (question.grid or question.deployments):
        asked = "memory= asks for a grid" if question.grid else "these words ask for a deployment"
        raise UsageError(
            f"--timeline draws the tensors of single shapes, and {asked}",
            "leave --timeline out, or ask for a shape: batch_size=8 device=cuda:16GiB",
        )
    if verifies and question.grid:
        raise UsageError(
            "--verify runs single shapes, and memory= asks for a grid",
            "leave one of them out; a shape is batch_size=8 sequence_length=128 device=cpu",
        )


def _print(found: Plan) -> None:
    from rich.console import Console

    from honed.show.deployment import deployment_details, deployments_table
    from honed.show.plan import grid_table, plan_details, plans_table

    console = Console()
    if len(found.predictions) == 1:
        console.print(plan_details(found.predictions[0]))
    elif found.predictions:
        console.print(plans_table(found.predictions))
    for one in found.grids:
        console.print(grid_table(one))
    if len(found.deployments) == 1:
        console.print(deployment_details(found.deployments[0]))
    elif found.deployments:
        console.print(deployments_table(found.deployments))


def _draw(found: Plan, path: Path) -> None:
    import sys

    from honed.report.memory_timeline import predicted, write

    write(predicted(found.predictions), path)
    print(path, file=sys.stderr)


def _verify(question: Question, *, as_json: bool) -> None:
    from rich.console import Console

    from honed.models.checkpoint import ModelRequest
    from honed.plain import to_plain
    from honed.plan.answer import subject
    from honed.plan.verify import verify
    from honed.show.plan import verification_table

    for case, settings in question.cells:
        found = verify(subject(ModelRequest.from_case(case)), settings)
        if as_json:
            print(json.dumps({"verification": to_plain(found)}, allow_nan=False))
        else:
            Console().print(verification_table(found))


def _verify_deployments(found: Plan, bench: Bench, *, as_json: bool) -> None:
    from rich.console import Console

    from honed.plain import to_plain
    from honed.plan.deployment_verify import verify_deployment
    from honed.show.deployment import deployment_verification

    for one in found.deployments:
        verified = verify_deployment(one, bench)
        if as_json:
            print(json.dumps({"verification": to_plain(verified)}, allow_nan=False))
        else:
            Console().print(deployment_verification(verified))


def _replay(snapshot: Path, *, as_json: bool) -> None:
    from rich.console import Console

    from honed.plain import to_plain
    from honed.plan.snapshot import replay_snapshot
    from honed.show.snapshot import snapshot_table

    for found in replay_snapshot(snapshot):
        if as_json:
            print(json.dumps(to_plain(found), allow_nan=False))
        else:
            Console().print(snapshot_table(found))


def _list_keys() -> None:
    from rich.console import Console
    from rich.table import Table

    from honed.plan.question import WORDS

    table = Table("key", "what it does", "values", box=None, pad_edge=False)
    for key, word in WORDS.items():
        values = ", ".join(word.values)
        table.add_row(key, word.help, values or word.default)
    Console().print(table)
    print("and model, task, precision, batch_size, sequence_length, ...: honed run --keys")
