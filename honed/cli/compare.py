"""honed compare: which setting is faster, with a verdict only when it is certain."""

from __future__ import annotations

import contextlib
import json
import sys
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honed.cli._costs import Costs, PriceOption
from honed.cli._formats import check_text_format
from honed.measures import COMPARED

if TYPE_CHECKING:
    from honed.case import Case
    from honed.cli._progress import Line
    from honed.compare.outcome import Comparison
    from honed.compare.session import CompareOptions, CompareProgress
    from honed.run.lab import LocalLab
    from honed.show.cost import Cost

ORDER = 2

UNDECIDED = 3


def compare(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECORD_ID | STUDY:best]... [KEY=VALUE]... [A: KEY=VALUE... B: KEY=VALUE...]",
            help="Settings; those before the first label belong to every side.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="A jsonl file of records to compare with.")
    ] = None,
    fail_if_slower: Annotated[
        str | None, typer.Option(help="Ask only whether it is slower by more, as 5%.")
    ] = None,
    resolution: Annotated[str, typer.Option(help="The least difference that matters.")] = "2%",
    budget: Annotated[str, typer.Option(help="The most time it may take: 90s, 10m, 1h.")] = "10m",
    metric: Annotated[
        str, typer.Option(metavar=f"[{'|'.join(COMPARED)}]", help="What is compared.")
    ] = "latency",
    price: PriceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object on stdout.")] = False,
    format: Annotated[
        str | None, typer.Option("--format", metavar="[md]", help="Print the result as Markdown.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the result as Markdown into this file.")
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 1 if a side is slower for certain.")
    ] = False,
    store: Annotated[str | None, typer.Option(help="Database URL for the records.")] = None,
) -> None:
    """Compare settings: fresh processes in turns, until the answer is certain enough.

    honed compare model=bert-base-uncased A: backend=torch B: backend=onnxruntime

    honed compare RECORD_ID torch.mode=compile

    honed compare STUDY:default STUDY:best

    Exit code 0: decided (with --fail-if-slower or --exit-code: not slower); 1: slower, or a trial
    failed; 2: a word was wrong; 3: undecided.
    """
    from honed import units
    from honed.cli._progress import Line
    from honed.compare.session import CompareOptions
    from honed.run.lab import LocalLab
    from honed.store import open_store

    check_text_format(format, ("md",), as_json=as_json)
    line, costs = Line(), Costs(price)
    options = CompareOptions(
        metric=metric,
        resolution=units.share(resolution),
        slower_than=units.share(fail_if_slower) if fail_if_slower else None,
        budget_s=units.seconds(budget),
        on_progress=lambda progress: _draw(line, progress),
    )
    try:
        with open_store(store) as opened:
            comparison = _compared(words or [], baseline, options, LocalLab(opened))
    finally:
        line.clear()
    if as_json:
        print(json.dumps(_with_costs(comparison, costs, store), allow_nan=False))
    elif format == "md":
        from honed.show.comparison import comparison_markdown

        sys.stdout.write(comparison_markdown(comparison))
    else:
        _print(comparison)
        _print_costs(comparison, costs, store)
    if markdown is not None:
        from honed.files import give
        from honed.show.comparison import comparison_markdown

        give(markdown, comparison_markdown(comparison), "--markdown FILE")
    raise typer.Exit(_exit_code(comparison, fails_if_slower=exit_code))


def _compared(
    words: list[str], baseline: Path | None, options: CompareOptions, lab: LocalLab
) -> Comparison:
    from honed.compare import session, settings
    from honed.compare.baseline import compare_with
    from honed.compare.say import settings_words

    if baseline is not None:
        return compare_with(baseline, words, options, lab)
    url = lab.store.url.render_as_string(hide_password=False)
    named, words = _stored(words, url)
    if len(named) > 1:
        sides = settings.several_stored(words, named)
    else:
        sides = settings.sides(words, *named)
    for label, differs in settings.differing(sides).items():
        print(f"{label}: {settings_words(differs)}", file=sys.stderr)
    return session.compare(sides, options, lab)


def _stored(words: list[str], store: str) -> tuple[list[Case], list[str]]:
    """The Cases of the records and studies that the first words name, and the other words."""
    from honed.errors import StoreError
    from honed.tune import api

    names = list(takewhile(_names_stored, words))
    cases = []
    for name in names:
        try:
            cases.append(api.named_case(name, [], store).case)
        except StoreError as error:
            hint = f"{error.hint}; a model is named by model={name}"
            raise StoreError(error.message, hint) from None
    return cases, words[len(names) :]


def _names_stored(word: str) -> bool:
    """`1556c9eb` and `STUDY:best`, but neither `key=value` nor `A:`."""
    _, colon, which = word.rpartition(":")
    return "=" not in word and (not colon or which in ("best", "default"))


def _with_costs(comparison: Comparison, costs: Costs, store: str | None) -> dict[str, Any]:
    """The comparison as JSON; with prices each side has a cost."""
    plain = comparison.to_json()
    for side, cost in zip(plain["sides"], _costs(comparison, costs, store), strict=bool(costs)):
        side["cost"] = None if cost is None else cost.to_json()
    return plain


def _print_costs(comparison: Comparison, costs: Costs, store: str | None) -> None:
    from honed.show.cost import ASSUMPTION
    from honed.show.cost_table import amount

    costs_of_sides = _costs(comparison, costs, store)
    for side, cost in zip(comparison.sides, costs_of_sides, strict=bool(costs)):
        shown = "no price fits, or no throughput" if cost is None else amount(cost)
        print(f"{side.label}: {shown} per million sequences (median over processes)")
    if known := [cost for cost in costs_of_sides if cost is not None]:
        print(f"{ASSUMPTION} ({known[0].price})")


def _costs(comparison: Comparison, costs: Costs, store: str | None) -> list[Cost | None]:
    """The cost of each side, from the stored records of its trials; empty without prices."""
    if not costs:
        return []
    from honed.errors import StoreError
    from honed.show.cost import median_cost
    from honed.store import open_store

    costs_of_sides = []
    with open_store(store) as opened:
        for side in comparison.sides:
            records = []
            for id in side.records:
                with contextlib.suppress(StoreError):  # the records of a baseline are in no store
                    records.append(opened.get(id))
            costs_of_sides.append(median_cost(records, costs.known))
    return costs_of_sides


def _exit_code(comparison: Comparison, *, fails_if_slower: bool = False) -> int:
    if comparison.ended == "interrupted":
        return 130
    verdicts = [c.verdict for c in comparison.contrasts]
    is_gate = fails_if_slower or comparison.slower_than is not None
    if comparison.failure is not None or (is_gate and "slower" in verdicts):
        return 1
    return UNDECIDED if "undecided" in verdicts or not verdicts else 0


def _draw(line: Line, progress: CompareProgress) -> None:
    from honed.cli._progress import duration
    from honed.compare.say import interval

    contrasts = ", ".join(f"{c.side} {interval(c.ratio)}" for c in progress.contrasts)
    phase = f"{progress.phase} {duration(progress.phase_s)}"
    tail = f"{progress.trial}: {progress.side} {phase} · at most {duration(progress.left_s)} left"
    line.show(contrasts or "first trials", tail)


def _print(comparison: Comparison) -> None:
    """The verdicts, a row per side, and the doubts."""
    from rich.console import Console
    from rich.text import Text

    from honed.compare.say import sentence
    from honed.show.comparison import comparison_table

    console = Console()
    if comparison.failure is not None:
        failure = comparison.failure
        why = f"a trial of {failure.side} is {failure.status}: {failure.message}"
        print(f"no verdict: {why}", file=sys.stderr)
        if failure.hint:
            print(f"  try: {failure.hint}", file=sys.stderr)
    for contrast in comparison.contrasts:
        console.print(Text(sentence(contrast, comparison), "bold"))
    console.print()
    console.print(comparison_table(comparison))
    for doubt in comparison.doubts:
        console.print(Text(f"doubt: {doubt.message}", "yellow"))
    counted = sum(t.counted for t in comparison.trials)
    trials = f"{counted} trials in {comparison.elapsed_s:.0f} s"
    console.print(Text(f"{trials}; records: honed list sweep={comparison.sweep}", "dim"))
