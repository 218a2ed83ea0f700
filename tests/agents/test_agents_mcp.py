"""honed mcp over standard input and output: the client of the package mcp, the fake engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from typer.testing import CliRunner

from honed.agents import server
from honed.cli import app
from honed.errors import NotInstalledError

FAKE = ["model=tiny", "backend=fake", "sequence_length=8", "warmup_s=0.05", "min_samples=5"]
SHORT = [*FAKE, "duration_s=0.05"]
Said = list[tuple[float, str]]


def serving(folder: Path, talk: Callable[[Client], Awaitable[None]]) -> None:
    """Let `talk` use a client of a server that starts in `folder`."""
    variables = {k: v for k, v in os.environ.items() if k.startswith(("HONED_", "HF_"))}
    parameters = StdioServerParameters(
        command=str(Path(sys.executable).with_name("honed")), args=["mcp"],
        env=variables | {"HONED_STORE": str(folder / "records.db")}, cwd=folder,
    )  # fmt: skip

    async def session() -> None:
        with anyio.fail_after(280):
            async with Client(parameters) as client:
                await talk(client)

    anyio.run(session)


async def answer(client: Client, tool: str, said: Said | None = None, **words: Any) -> Any:
    """What a tool found; the error's text where it failed. `said` gets the reports of progress."""

    async def heard(progress: float, _: float | None, message: str | None) -> None:
        if said is not None:
            said.append((progress, message or ""))

    result = await client.call_tool(tool, words, progress_callback=heard)
    if result.is_error:
        return "".join(getattr(part, "text", "") for part in result.content)
    return result.structured_content


def test_an_agent_measures_compares_plans_and_reads_records(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"run", "compare", "tune", "plan", "show", "list", "settings"} <= set(tools)
        assert all(tool.description for tool in tools.values())
        assert "context" not in tools["run"].input_schema["properties"]
        assert "openvino.streams" in (await answer(client, "settings", contains="streams"))

        said: Said = []
        ran = await answer(client, "run", said, words=[*SHORT, "batch_size=1,2"])
        assert [record["status"] for record in ran["records"]] == ["ok", "ok"]
        assert ran["exit_code"] == 0
        assert "samples" not in ran["records"][0]
        assert [progress for progress, _ in said] == sorted({progress for progress, _ in said})
        assert any("[2/2]" in message for _, message in said)

        listed = await answer(client, "list", where=["batch_size=2"])
        (record,) = listed["records"]
        shown = await answer(client, "show", ids=[record["id"][:8]], full=True)
        assert shown["record"]["samples"]["latency_s"]
        first = ran["records"][0]["id"]
        differs = await answer(client, "show", ids=[first, record["id"]])
        assert "batch_size" in [difference["name"] for difference in differs["differences"]]

        compared = await answer(
            client, "compare", budget="5m",  # it ends when it is decided
            words=[*SHORT, "A:", "fake.latency_us=2000", "B:", "fake.latency_us=4000"],
        )  # fmt: skip
        assert compared["verdict"] == "slower"
        assert compared["ratio"]["ci95"][0] > 1.2
        assert [side["label"] for side in compared["sides"]] == ["A", "B"]

        wrong = await answer(client, "run", words=["model=tiny", "bach_size=1"])
        assert "did you mean batch_size" in wrong
        helped = await answer(client, "run", words=["--help"])
        assert "give KEY=VALUE words" in helped
        failed = await answer(client, "run", words=[*SHORT, "fake.fail=crash"])
        assert (failed["exit_code"], failed["records"][0]["status"]) == (1, "crashed")

    serving(tmp_path, talk)


def test_a_call_that_is_cancelled_is_interrupted_and_its_record_kept(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        begun = anyio.Event()

        async def heard(*_: object) -> None:
            begun.set()

        async with anyio.create_task_group() as group:

            async def measure() -> None:
                words = {"words": [*FAKE, "duration_s=600"]}
                await client.call_tool("run", words, progress_callback=heard)

            group.start_soon(measure)
            await begun.wait()
            await anyio.sleep(1)  # the verb is now inside the measurement, or close to it
            group.cancel_scope.cancel()
        # The server takes the next measurement once the cancelled one has ended.
        ran = await answer(client, "run", words=SHORT)
        assert ran["records"][0]["status"] == "ok"
        listed = await answer(client, "list")
        assert [r["status"] for r in listed["records"]] == ["interrupted", "ok"]

    serving(tmp_path, talk)


@pytest.mark.parametrize(
    ("words", "may_measure"),
    [
        (["model=tiny-bert", "mode=train"], False),
        (["model=tiny-bert", "backend=torch", "instances=2"], True),
        (["model=tiny-bert", "backend=torch", "baseline=stored"], False),
        (["model=tiny-bert", "--verify"], True),
        (["model=tiny-bert", "mode=trian"], False),
    ],
)
def test_a_plan_waits_for_other_measurements_only_if_it_may_measure(
    words: list[str], may_measure: bool
) -> None:
    assert server._may_measure(words) is may_measure


def test_without_the_package_the_command_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    done = CliRunner().invoke(app, ["mcp"])
    assert isinstance(done.exception, NotInstalledError)
    assert done.exception.hint == "pip install 'honed[mcp]'"
