"""The worker processes of this test run, and of no other honed on the machine.

A worker inherits HONED_TESTS_PROCESS, the number of this test process (see conftest.py). Parentage
would not do: an orphan is a child of init.
"""

from __future__ import annotations

import os
from pathlib import Path


def our_workers() -> list[str]:
    """The command lines of every running worker that this test run has started."""
    mark = f"HONED_TESTS_PROCESS={os.environ['HONED_TESTS_PROCESS']}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if "honed.run.worker" in command and mark in (process / "environ").read_bytes():
                found.append(command)
        except OSError:  # it has ended meanwhile
            continue
    return found
