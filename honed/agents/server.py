"""The verbs as tools for agents, over MCP on standard input and output.

Only `honed mcp` imports this file, and with it the package mcp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

import honed
from honed.agents.ask import Printed, VerbError, ask
from honed.errors import HonedError
from honed.knobs import known_keys
from honed.plan.question import parse

_INSTRUCTIONS = """\
honed measures transformers on this machine, in fresh processes, and keeps every result as a
record. Words are KEY=VALUE, such as model=bert-base-uncased, backend=onnxruntime, precision=int8
or batch_size=1,8 (a comma list measures each value); the tool `settings` lists every key.
Measuring takes seconds to minutes, and calls that measure wait for each other. Believe a record
only if its status is ok, and read its doubts. One run is one draw: use `compare` to say which of
two settings is faster, and report its interval.
"""
# Keys of a record that are long and seldom asked for: every call, every fact of the machine.
_LONG = ("samples", "machine", "effective", "inputs", "passes")

Words = Annotated[
    list[str], Field(description="Settings, one KEY=VALUE each; model=NAME is needed.")
]
Ids = Annotated[
    list[str], Field(description="One id, or two to see what differs; none: the newest record.")
]
Answer = dict[str, Any]

server = MCPServer("honed", instructions=_INSTRUCTIONS, version=honed.__version__)
_measuring = anyio.Lock()  # two measurements at once would disturb each other
_reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_measures = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)


@server.tool(title="Measure settings", annotations=_measures)
async def run(words: Words, context: Context) -> Answer:
    """Measure a model: latency, throughput, memory, and its outputs beside fp32."""
    printed = await _measured(["run", *words], context)
    return _answer(printed, records=[brief(record) for record in printed.objects])


@server.tool(title="Compare settings", annotations=_measures)
async def compare(
    words: Annotated[
        list[str],
        Field(
            description="Shared settings, then A: with its settings, then B: with its settings."
        ),
    ],
    context: Context,
    budget: Annotated[str, Field(description="The most time it may take: 90s, 10m.")] = "10m",
    fail_if_slower: Annotated[
        str | None, Field(description="Ask only whether it is slower by more, as 5%.")
    ] = None,
) -> Answer:
    """Say which setting is faster, in turns until it is certain: verdict, ratio and interval."""
    limit = ["--fail-if-slower", fail_if_slower] if fail_if_slower else []
    printed = await _measured(["compare", *words, "--budget", budget, *limit], context)
    (comparison,) = printed.objects
    kept = ("verdict", "ratio", "metric", "ended", "contrasts", "doubts", "failure", "elapsed_s")
    sides = [
        {key: side[key] for key in ("label", "differs", "trials", "median", "cosine_min")}
        for side in comparison["sides"]
    ]
    shown = {key: comparison[key] for key in kept}
    return _answer(printed, **shown, sides=sides, sweep=comparison["sweep"])


@server.tool(title="Find the best setting", annotations=_measures)
async def tune(
    words: Words,
    context: Context,
    objective: Annotated[str, Field(description="latency, throughput, memory or cost.")] = (
        "latency"
    ),
    budget: Annotated[str, Field(description="The time for the search: 5m, 1h.")] = "10m",
    limits: Annotated[
        Sequence[str], Field(description="Limits that must hold, as latency_p99_ms<=50.")
    ] = (),
) -> Answer:
    """Search the best setting of this machine for a model, and prove it against the default."""
    asked = [f"objective={objective}", f"budget={budget}", *(f"limit={each}" for each in limits)]
    printed = await _measured(["tune", *words, *asked], context)
    *_, outcome = printed.objects
    for side in ("default", "best"):
        outcome[side] = outcome[side] and brief(outcome[side])
    study = outcome["study"]
    return _answer(printed, outcome=outcome, next=f"honed run --from {study}:best")


@server.tool(title="Predict memory", annotations=_measures)
async def plan(words: Words, context: Context) -> Answer:
    """Predict how much memory inference or training takes, and whether it fits, without running
    the model.

    Words of its own: mode=infer or train, memory=16GiB, device=cuda:16GiB, max_batch=true.
    backend=, instances= and threads= ask for the limit of a container. An engine that no record
    has is then measured once, for a few seconds; baseline=stored forbids that.
    """
    ask_in_turn = _measured if _may_measure(words) else _asked
    printed = await ask_in_turn(["plan", *words], context)
    return _answer(printed, predictions=printed.objects)


@server.tool(title="Show records", annotations=_reads)
async def show(
    context: Context,
    ids: Ids = [],  # noqa: B006 - nothing changes it
    full: Annotated[bool, Field(description="Every call and every fact of the machine.")] = False,
) -> Answer:
    """Show a stored record, or what differs between two."""
    printed = await _asked(["show", *ids], context)
    (shown,) = printed.objects
    if isinstance(shown, list):
        return _answer(printed, differences=shown)
    return _answer(printed, record=shown if full else brief(shown))


@server.tool(name="list", title="List records", annotations=_reads)
async def list_records(
    context: Context,
    where: Annotated[
        Sequence[str], Field(description="Conditions: backend=torch, batch_size>=8, status=ok.")
    ] = (),
    newest: Annotated[int, Field(ge=1, le=200, description="At most so many.")] = 20,
) -> Answer:
    """List stored records, the newest last."""
    printed = await _asked(["list", *where, "--newest", str(newest)], context)
    return _answer(printed, records=[brief(record) for record in printed.objects])


@server.tool(title="List settings", annotations=_reads)
def settings(
    contains: Annotated[str, Field(description="Only keys and helps with this text.")] = "",
) -> dict[str, str]:
    """List the settings that words may name, each with its meaning and its values."""
    known = known_keys().items()
    return {key: help for key, help in known if contains.lower() in f"{key} {help}".lower()}


def brief(record: Answer) -> Answer:
    """The record without its long parts, and without settings that are not set."""
    kept = {key: value for key, value in record.items() if key not in _LONG}
    kept["case"] = {key: value for key, value in record["case"].items() if value is not None}
    kept["versions"] = (record.get("machine") or {}).get("packages")
    return kept


def _may_measure(words: Sequence[str]) -> bool:
    """Whether a plan with these words may run something: `--verify`, or a deployment's engine."""
    if any(word.startswith("-") for word in words):
        return True
    try:
        question = parse(words)
    except HonedError:  # the verb itself says which word is wrong
        return False
    return bool(question.deployments) and question.measures


async def _measured(words: Sequence[str], context: Context) -> Printed:
    """Run a verb that measures; a second one waits until the first has ended."""
    if _measuring.locked():
        await context.report_progress(0, None, "waiting for another measurement of this server")
    async with _measuring:
        return await _asked(words, context)


async def _asked(words: Sequence[str], context: Context) -> Printed:
    async def report(count: int, line: str) -> None:
        await context.report_progress(count, None, line)

    try:
        return await ask(words, report)
    except VerbError as error:  # only the text of a ToolError reaches the agent
        raise ToolError(error.message) from None


def _answer(printed: Printed, **found: Any) -> Answer:
    """The keys of `found`, the exit code, and the lines for people where it is not zero."""
    notes = {"messages": printed.lines} if printed.exit_code else {}
    return {**found, "exit_code": printed.exit_code, **notes}
