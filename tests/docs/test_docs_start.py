"""The first page from top to bottom, as a reader types it, on a tiny model and the fake engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import ROOT, Command, commands
from typer.testing import CliRunner

from honed.cli import app

# What the page says -> what is run here, so that it takes seconds.
QUICKER = (
    (r"model=\S+", "model=tiny"),
    (r"backend=\S+", "backend=fake"),
    (r"precision=\S+", "precision=fp32"),
    (r"budget=\S+", "budget=60s trials=1"),
    (r"inputs=\S+|eval=\S+|max_accuracy_drop=\S+", "seed=0"),
    (r"B: ", "B: fake.latency_us=3000 "),
)
SHORT = ["backend=fake", "duration_s=0.05", "min_samples=5", "warmup_s=0.05", "sequence_length=8"]
MEASURING = ("run", "compare", "tune")
# What needs a port, an engine whose files can be delivered, or a model of the reader.
ELSEWHERE = ("honed serve", "honed export", "./my-encoder")


def quicker(command: Command) -> list[str]:
    text = command.text
    for said, instead in QUICKER:
        text = re.sub(said, instead, text)
    words = Command(command.page, text).words
    if words[0] in MEASURING and "--from" not in words:
        words[1:1] = SHORT
    return words


def test_every_command_of_the_first_page_works_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HONED_STORE", raising=False)
    seen = []
    for command in commands(ROOT / "docs" / "index.md"):
        if any(part in command.text for part in ELSEWHERE):
            continue
        words = quicker(command)
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{command}: {words}\n{done.output}\n{done.exception}"
        seen.append(words[0])
    assert {"doctor", "run", "list", "show", "compare", "tune", "report"} <= set(seen)
    assert (tmp_path / "report.html").stat().st_size > 10_000
