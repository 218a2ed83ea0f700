"""Shared by the benchmarks: running honed as a user does, and summarising ratios."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HONED = Path(sys.executable).with_name("honed")


def honed_run(*words: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The record of `honed run WORDS --json`, as a dict; it is not stored."""
    command = [str(HONED), "run", *words, "--json", "--store", "sqlite://"]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if not done.stdout.strip():
        sys.exit(f"{' '.join(command)} gave nothing:\n{done.stderr}")
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if record["status"] != "ok":
        sys.exit(f"{record['status']}: {record['error']}")
    return record


def honed_compare(*words: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The result of `honed compare WORDS --json`; its records are not stored."""
    command = [str(HONED), "compare", *words, "--json", "--store", "sqlite://"]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if not done.stdout.strip():
        sys.exit(f"{' '.join(command)} gave nothing:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    if found["failure"] is not None:
        sys.exit(f"{found['failure']}")
    return found


def summary(ratios: list[float]) -> str:
    middle = statistics.median(ratios)
    return f"median {middle:.3f}, from {min(ratios):.3f} to {max(ratios):.3f}, n={len(ratios)}"
