"""honed serve: one Case behind HTTP, in the interfaces that clients already speak."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from honed.case import Case
    from honed.serve.explain import Explanation

ORDER = 4


def serve(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Settings of the Case and of the server, such as instances=2 port=8080.",
            show_default=False,
        ),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from", help="Serve best, STUDY:best, STUDY:default or the Case of a record's id."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of the Case's settings.")] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Start the workers, print what they can do, and end; do not listen."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="--explain as JSON.")] = False,
    keys: Annotated[
        bool, typer.Option("--keys", help="List the server's settings and stop.")
    ] = False,
    store: Annotated[str | None, typer.Option(help="Database URL for --from.")] = None,
) -> None:
    """Serve a model: embeddings, classification, reranking; TEI's, OpenAI's and Cohere's routes.

    honed serve model=./my-encoder backend=openvino precision=int8 instances=2 threads=1 port=8080

    honed serve --from STUDY:best
    """
    if keys:
        _list_keys()
        return
    from honed.serve.front import run
    from honed.serve.settings import split

    settings, others = split(words or [])
    case = case_of(others, origin, config, store)
    if explain:
        from honed.serve.explain import explain as explained

        _print(explained(case, settings), as_json)
        return
    run(case, settings)


def case_of(words: list[str], origin: str | None, config: Path | None, store: str | None) -> Case:
    """The one Case that the words describe."""
    from honed.compose import compose
    from honed.errors import UsageError

    if origin is not None:
        from honed.tune import api, recipe

        named = api.named_case(origin, words, store)
        if named.differences:
            print(
                f"{named.study} was tuned elsewhere: {'; '.join(named.differences)}",
                file=sys.stderr,
            )
        words = [*recipe.words(named.case), *words]
    cases = compose(words, config).cases
    if len(cases) != 1:
        raise UsageError(
            f"a server serves one Case, and these words describe {len(cases)}",
            "give one value to each key",
        )
    return cases[0]


def _print(found: Explanation, as_json: bool) -> None:
    from honed.plain import to_plain

    if as_json:
        print(json.dumps(to_plain(found), allow_nan=False))
        return
    from rich.console import Console

    from honed.show.serving import explanation

    Console().print(explanation(found))


def _list_keys() -> None:
    from rich.console import Console
    from rich.table import Table

    from honed.serve.settings import help_lines

    table = Table("key", "what it does", box=None, pad_edge=False)
    for key, help in help_lines().items():
        table.add_row(key, help)
    Console().print(table)
