"""The skill file: what it names exists, and what exists is named."""

from __future__ import annotations

import re
from pathlib import Path

import typer
import yaml
from typer.testing import CliRunner

from honed.agents.skill import skill
from honed.cli import app
from honed.knobs import known_keys

VERBS = {"run": "Measure a model.", "compare": "Compare settings."}


def test_it_has_a_head_of_yaml_and_every_verb_and_setting() -> None:
    text = skill(VERBS)
    _, head, body = text.split("---\n", 2)
    about = yaml.safe_load(head)
    assert about["name"] == "honed"
    assert 50 < len(about["description"]) < 1024
    assert "- `honed compare`: Compare settings." in body
    assert all(f"- `{key}`: " in body for key in known_keys())
    assert not re.search(r"@[A-Z]+@", text)


def test_each_command_that_it_shows_has_the_options_that_it_shows() -> None:
    shown = re.findall(r"`honed ((?!VERB)[a-z]+)( [^`]*)`", skill(VERBS))
    assert len(shown) > 8
    commands = typer.main.get_group(app).commands
    for verb, words in shown:
        known = {name for option in commands[verb].params for name in option.opts}
        assert set(re.findall(r"--[a-z-]+", words)) <= known, verb


def test_the_command_writes_it_with_all_verbs(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["skill", "--out", str(tmp_path)])
    assert done.exit_code == 0
    text = (tmp_path / "honed" / "SKILL.md").read_text()
    for verb in ("run", "compare", "blame", "tune", "plan", "serve", "report", "ci", "mcp"):
        assert re.search(rf"^- `honed {verb}`: \w", text, re.MULTILINE), verb
    assert CliRunner().invoke(app, ["skill"]).output == text
