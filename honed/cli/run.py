"""honed run: measure each Case of a sweep, and show one table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli._costs import Costs, LimitOption, PriceOption
from honed.cli._formats import FormatOption, check_text_format, print_records

if TYPE_CHECKING:
    from honed.cli._progress import Line
    from honed.compose import Sweep
    from honed.max_batch.found import Try
    from honed.record import Record

ORDER = 1

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Settings; --keys lists them.", show_default=False
    ),
]


def run(
    words: Words = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One record a line on stdout.")] = False,
    resume: Annotated[
        bool, typer.Option(help="Measure only the Cases that an interrupted sweep left.")
    ] = False,
    allow_system_changes: Annotated[
        bool, typer.Option(help="Let knobs change the whole machine; honed restores it.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 if an engine lacks a combination of a sweep.")
    ] = False,
    format: FormatOption = None,
    price: PriceOption = None,
    limits: LimitOption = None,
    keys: Annotated[bool, typer.Option("--keys", help="List every setting and stop.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print a JSON Schema for --config files and stop.")
    ] = False,
    store: Annotated[str | None, typer.Option(help="Database URL for the records.")] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from", help="Start from best, STUDY:best, STUDY:default or a record's id."
        ),
    ] = None,
) -> None:
    """Measure a model: latency, throughput, memory, fidelity.

    A comma list, choice() or range() makes a sweep: honed run model=bert-base-uncased
    backend=torch,onnxruntime precision=fp32,int8 batch_size=1,8

    Exit code 0: every Case has a result, or is one of a sweep that its engine does not have; 1: a
    Case failed; 2: a word was wrong; 130: interrupted.
    """
    if keys or schema:
        _list_keys() if keys else _print_schema()
        return
    check_text_format(format, as_json=as_json)
    from honed.cli._progress import Line
    from honed.max_batch.lab import SearchingLab
    from honed.run.sweep import plan_sweep, run_sweep
    from honed.store import open_store

    costs = Costs(price, limits)
    opened = open_store(store)
    words = [*(words or []), *(["allow_system_changes=true"] if allow_system_changes else [])]
    words = [*_words_of(origin, words, store), *words]
    plan = plan_sweep(opened, words, config, resume=resume)
    _announce(plan.sweep, plan.estimate_s, plan.done)
    if not plan.todo:
        print(f"nothing is left to measure: honed list sweep={plan.sweep_id}", file=sys.stderr)
    line = Line()
    records: list[Record] = []
    lab = SearchingLab(opened, lambda one: _say_try(line, one))
    try:
        for record in run_sweep(plan, lab, line):
            line.clear()
            records.append(record)
            if record.error is not None and record.status != "ok":
                # At once: the table comes only at the end.
                print(f"{record.status}: {record.error.message}", file=sys.stderr)
            if as_json:
                print(json.dumps(costs.json(record), allow_nan=False), flush=True)
    finally:
        line.clear()
        if records:
            _print(records, costs, format, as_json=as_json)
    if any(r.status == "interrupted" for r in records):
        left = len(plan.todo) - len(records) + 1
        print(f"interrupted; {left} to go: honed run --resume", file=sys.stderr)
        raise typer.Exit(130)
    raise typer.Exit(exit_code(records, strict=strict))


def _print(records: list[Record], costs: Costs, format: str | None, *, as_json: bool) -> None:
    """The table at the end of a sweep; with --json, whose lines are out, only the costs' notes."""
    if format is not None:
        print_records(records, format, costs)
    elif not as_json:
        costs.print_table(records)
        _print_searches(records)
    else:
        for note in costs.notes(records):
            print(note, file=sys.stderr)


def _say_try(line: Line, one: Try) -> None:
    from honed.show.max_batch import line_of_try

    line.clear()
    print(line_of_try(one), file=sys.stderr, flush=True)


def _print_searches(records: list[Record]) -> None:
    """Every try of the searches for the largest batch, if there were any."""
    from rich.console import Console

    from honed.max_batch.found import largest_batch
    from honed.show.max_batch import max_batch_details

    for record in records:
        if (found := largest_batch(record)) is not None:
            Console().print(max_batch_details(found))


def exit_code(records: list[Record], *, strict: bool) -> int:
    """A sweep may ask for combinations that an engine does not have, if anything was measured."""
    failed = [r for r in records if r.status not in ("ok", "unproven")]
    lacking = [r for r in failed if r.is_lacking]
    if not failed:
        return 0
    if len(lacking) < len(failed) or len(lacking) == len(records):
        return 1
    print(
        f"{len(lacking)} of {len(records)} cases are combinations that their engine does not have"
        + ("" if strict else " (--strict makes this exit code 1)"),
        file=sys.stderr,
    )
    return 1 if strict else 0


def _words_of(origin: str | None, words: list[str], store: str | None) -> list[str]:
    """The settings of the study or record that --from names; words typed besides replace them."""
    if origin is None:
        return []
    from honed.tune import api, recipe

    named = api.named_case(origin, words, store)
    if named.differences:
        print(
            f"{named.study} was tuned elsewhere: {'; '.join(named.differences)}\n"
            f"to look again, beginning with what was best there: honed tune --again {named.study}",
            file=sys.stderr,
        )
    return recipe.words(named.case)


def _announce(sweep: Sweep, estimate_s: float, done: int) -> None:
    """Print the size, the order and the estimated time of the sweep before it starts."""
    from honed.cli._progress import duration
    from honed.values import typed_words

    count = len(sweep.cases)
    order = f", {' x '.join(sweep.varying)} (last varies fastest)" if sweep.varying else ""
    skipped = f", {done} already done" if done else ""
    cases = f"{count} case{'s' if count > 1 else ''}"
    print(f"{cases}{order}{skipped}: about {duration(estimate_s)}", file=sys.stderr)
    if count > 1:
        for index, case in enumerate(sweep.cases, 1):
            settings = {key: case.get(key) for key in sweep.varying}
            print(f"  {index}. {' '.join(typed_words(settings))}", file=sys.stderr)
    for notice in sweep.notices:
        print(notice, file=sys.stderr)


def _print_schema() -> None:
    from honed.schema import config_schema

    print(json.dumps(config_schema(), indent=2))


def _list_keys() -> None:
    from rich.console import Console
    from rich.table import Table

    from honed.knobs import known_keys

    table = Table("key", "what it does", box=None, pad_edge=False)
    for key, help in known_keys().items():
        table.add_row(key, help)
    Console().print(table)
