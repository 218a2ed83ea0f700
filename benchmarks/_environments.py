"""Environments of their own for rivals and clients that cannot live in the one of honed."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

_ROOM = Path("~/.cache/honed-benchmarks").expanduser()


def made(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of the environment with these packages; it is made once, and kept."""
    folder = _ROOM / name
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        print(f"making {folder}: this takes minutes", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        done = subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=False)
        if done.returncode:
            sys.exit(f"{', '.join(packages)} could not be installed into {folder}")
        whole.touch()
    return python
