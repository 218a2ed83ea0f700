"""honed list: the stored records, one row each."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from honed.cli._costs import Costs, LimitOption, PriceOption
from honed.cli._formats import FormatOption, check_text_format, print_records

ORDER = 6


def list_(
    where: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Only records with these settings."),
    ] = None,
    newest: Annotated[int, typer.Option(min=1, help="Show at most this many, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One record a line.")] = False,
    format: FormatOption = None,
    price: PriceOption = None,
    limits: LimitOption = None,
    store: Annotated[str | None, typer.Option(help="Database URL of the records.")] = None,
) -> None:
    """List stored records, the newest last.

    --price 4.848/h adds the cost of a million sequences; --limit 'latency_p99_ms<=50' names the
    cheapest setting that meets the limit.
    """
    from honed.store import open_store

    check_text_format(format, as_json=as_json)
    costs = Costs(price, limits)
    records = open_store(store, make=False).list(limit=newest, where=where or [])
    if as_json:
        for record in records:
            print(json.dumps(costs.json(record), allow_nan=False))
        return
    if format is not None:
        print_records(records, format, costs)
        return
    if not records:
        print(_nothing(where or []))
        return
    costs.print_table(records)


def _nothing(where: list[str]) -> str:
    if where:
        return f"no record matches {' and '.join(where)}: honed list shows the newest of all"
    return "no records yet: honed run model=bert-base-uncased"
