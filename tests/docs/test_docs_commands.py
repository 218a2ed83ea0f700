"""Every command of every page: the verb exists, its options parse, and its words compose.

Nothing is measured here. `test_docs_start.py` really runs the commands of the first page, on the
fake engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from pages import PAGES, Command, blocks, commands

from honed import record_filter
from honed.blame import releases
from honed.ci.write import Gate
from honed.cli import app
from honed.compare import settings
from honed.compose import compose
from honed.plan import question as plan_question
from honed.schema import config_schema
from honed.serve.settings import split
from honed.tune import question as tune_question

ALL = [command for page in PAGES for command in commands(page)]


def of_tune(words: Sequence[str]) -> None:
    if words and words[0] != "show":
        tune_question.parse(words, None, 600.0)


def of_compare(words: Sequence[str]) -> None:
    if words and ("=" in words[0] or words[0].endswith(":")):  # else stored names come first
        settings.sides(words)


def of_blame(words: Sequence[str]) -> None:
    (versions,) = (word for word in words if word.startswith("versions="))
    releases.parse(versions.removeprefix("versions="), lambda _: ("1.27.0", "1.28.0", "1.31.0"))
    compose([word for word in words if word != versions])


def of_case(words: Sequence[str]) -> None:
    if words:
        compose(words)


def of_step(words: Sequence[str]) -> None:
    compose(["workload=train_step", *words])


def of_precision(words: Sequence[str]) -> None:
    of_step([word.replace("autocast=", "precision=") for word in words])


def of_serve(words: Sequence[str]) -> None:
    of_case(split(words)[1])


def of_plan(words: Sequence[str]) -> None:
    plan_question.parse(words)


def of_ci(words: Sequence[str]) -> None:
    Gate(tuple(words))


def of_export(words: Sequence[str]) -> None:
    record_filter.parse([word for word in words if "=" in word])


# How the words of a verb are read; the other verbs take names and paths.
READERS: dict[str, Callable[[Sequence[str]], object]] = {
    **dict.fromkeys(("run", "profile", "scale"), of_case),
    "memory": of_step, "precision": of_precision,
    "tune": of_tune, "compare": of_compare, "blame": of_blame, "plan": of_plan,
    "serve": of_serve, "deploy": of_serve, "ci": of_ci,
    **dict.fromkeys(("list", "report"), record_filter.parse), "export": of_export,
}  # fmt: skip


def parsed(words: Sequence[str]) -> list[str]:
    """The words that are no options, after click has read the command; nothing is called."""
    command: Any = typer.main.get_group(app).commands[words[0]]
    rest = list(words[1:])
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    context = command.make_context(command.name, rest)
    arguments = (context.params.get(p.name) for p in command.params if p.name == "words")
    given = next((list(found) for found in arguments if found), None)
    if given is not None:
        return given
    where = context.params.get("where") or ()
    return [where] if isinstance(where, str) else list(where)


@pytest.mark.parametrize("command", ALL, ids=str)
def test_a_command_parses_and_its_words_compose(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = command.words
    if "..." in command.text:
        return  # a pattern for readers
    positional = parsed(words)
    if (reader := READERS.get(words[0])) is not None:
        reader(positional)


def test_the_pages_have_commands_of_every_verb_that_measures() -> None:
    verbs = {command.words[0] for command in ALL}
    assert {"run", "compare", "blame", "plan", "tune", "serve", "report", "ci", "doctor", "env",
            "export", "list", "show", "memory", "precision", "profile", "scale", "suite", "deploy",
            "mcp", "skill", "cache"} <= verbs  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_compiles(page: Path) -> None:
    for language, text in blocks(page):
        if language == "python":
            compile(text, page.name, "exec")


def test_files_of_settings_on_a_page_compose_and_meet_the_schema(tmp_path: Path) -> None:
    texts = [
        text
        for page in PAGES
        for language, text in blocks(page)
        if language == "yaml" and text.startswith("# yaml-language-server")
    ]
    assert texts
    for text in texts:
        path = tmp_path / "settings.yaml"
        path.write_text(text)
        jsonschema.validate(yaml.safe_load(text), config_schema())
        assert compose([], path).cases
