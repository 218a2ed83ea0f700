"""Reading the small files of /proc and /sys, any of which a kernel or a sandbox may not have.

A CPU may also go offline and a process may end while their files are read, so an absent file and
one that cannot be read give the same answer.
"""

from __future__ import annotations

import re
from pathlib import Path


def read_text(path: Path) -> str:
    """The content without surrounding white space; empty for a file that cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def read_int(path: Path) -> int | None:
    """The number in the file; None where there is none."""
    try:
        return int(read_text(path))
    except ValueError:
        return None


def counter(text: str, name: str) -> int | None:
    """The number after `name` at the beginning of a line, as in vmstat and memory.events."""
    match = re.search(rf"^{name}\s+(\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None


def kilobytes(text: str, name: str) -> int | None:
    """The bytes of a line `name: NUMBER kB`, as in meminfo and smaps_rollup."""
    match = re.search(rf"\b{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None
