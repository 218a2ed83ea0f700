"""honed mcp: the verbs as tools for agents and editors."""

from __future__ import annotations

import importlib.util
import os
from typing import Annotated

import typer

ORDER = 12


def mcp(
    store: Annotated[
        str | None, typer.Option(help="Database URL for the records of this server.")
    ] = None,
) -> None:
    """Serve run, compare, tune, plan, show and list as MCP tools on standard input and output.

    An agent or editor starts it: {"command": "honed", "args": ["mcp"]}. Calls that measure wait
    for each other; a call that the client cancels is interrupted, and its record is kept.
    """
    from honed.errors import NotInstalledError

    if importlib.util.find_spec("mcp") is None:
        raise NotInstalledError("mcp is not installed", "pip install 'honed[mcp]'")
    if store is not None:
        os.environ["HONED_STORE"] = store
    from honed.agents.server import server

    server.run("stdio")
