"""Run a verb in a process of its own, pass its progress on, and end it when the client gives up.

A process of its own keeps standard output for the protocol, and a crash or a leak away from the
server, which an editor may keep for days.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, Process

from honed.errors import HonedError

_COMMAND = (sys.executable, "-c", "from honed.cli import main; main()")
_END_S = 20.0  # for a verb to store the record of what it was measuring
_LAST_LINES = 20  # lines for people that an error repeats at most
# What a verb reports while it runs; the number of reports so far, and the newest one.
Report = Callable[[int, str], Awaitable[None]]


@dataclass(slots=True)
class Printed:
    """What a verb printed: JSON objects on standard output, lines for people on standard error.

    `no_json` are lines of standard output that are no JSON, such as those of `--help`.
    """

    exit_code: int = 0
    objects: list[Any] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    no_json: list[str] = field(default_factory=list)


class VerbError(HonedError):
    """The verb gave no result; its last lines say why, and what to type next."""


async def ask(words: Sequence[str], report: Report) -> Printed:
    """Run `honed WORDS --json`. Raises VerbError where it fails without an object, or where its
    standard output is not JSON.

    If this call is cancelled, the verb is interrupted as by Ctrl-C, so that it stores the record
    of what it was measuring and ends its workers.
    """
    process = await anyio.open_process(
        [*_COMMAND, *words, "--json"], stdin=subprocess.DEVNULL, start_new_session=True
    )
    printed, count = Printed(), 0

    async def objects(stream: ByteReceiveStream) -> None:
        nonlocal count
        async for line in _lines(stream):
            try:
                printed.objects.append(json.loads(line))
            except ValueError:
                printed.no_json.append(line)
                continue
            count += 1
            await report(count, f"{len(printed.objects)} results")

    async def lines(stream: ByteReceiveStream) -> None:
        nonlocal count
        async for line in _lines(stream):
            printed.lines.append(line)
            count += 1
            await report(count, line)

    try:
        assert process.stdout is not None
        assert process.stderr is not None
        async with anyio.create_task_group() as group:
            group.start_soon(objects, process.stdout)
            group.start_soon(lines, process.stderr)
        printed.exit_code = await process.wait()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
    if printed.no_json:
        raise VerbError(
            f"honed {' '.join(words)} printed text instead of JSON: {printed.no_json[0]}\n"
            "give KEY=VALUE words, and no options such as --help"
        )
    if printed.exit_code and not printed.objects:
        last_lines = "\n".join(printed.lines[-_LAST_LINES:])
        raise VerbError(last_lines or f"exit code {printed.exit_code}")
    return printed


async def _lines(stream: ByteReceiveStream) -> AsyncIterator[str]:
    rest = b""
    async for data in stream:
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            if line.strip():
                yield line.decode(errors="replace").strip()
    if rest.strip():
        yield rest.decode(errors="replace").strip()


async def _end(process: Process) -> None:
    """Interrupt a verb that still runs; kill it and its children if that is not enough."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        with anyio.move_on_after(_END_S):
            await process.wait()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    await process.aclose()
