"""A hook of mkdocs: a page for each verb, made from its own help while the site is built.

The pages lie nowhere on the disk, so that they cannot differ from the help.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from honed.cli import app

FOLDER = "verbs"
_SECTION = "The verbs"
_SENTENCE = re.compile(r"\bwrites\b|\badds\b|\. |; the\b|\bnames the\b")  # no command alone
_SIGNS = {sign: f"&#{ord(sign)};" for sign in "|<>&*_"}
# Verb -> the pages that say more, with their titles.
MORE: Mapping[str, Mapping[str, str]] = {
    "run": {"measuring.md": "How honed measures", "record.md": "The record, key by key",
            "which-setting.md": "Which setting for my model"},
    "compare": {"comparing.md": "How honed compares"},
    "blame": {"blame.md": "Which release made it slower"},
    "plan": {"planning.md": "How memory is predicted"},
    "tune": {"tuning.md": "How the best setting is found"},
    "memory": {"training.md": "Training steps, attention, profiles and precision"},
    "precision": {"training.md": "Training steps, attention, profiles and precision"},
    "profile": {"training.md": "Training steps, attention, profiles and precision"},
    "suite": {"training.md": "Training steps, attention, profiles and precision"},
    "scale": {"machine.md": "The machine's knobs"},
    "serve": {"serving.md": "The server: routes, batches, overload, faults"},
    "show": {"record.md": "The record, key by key", "reporting.md": "Reports"},
    "list": {"reporting.md": "Reports", "cost.md": "What a million sequences cost"},
    "report": {"reading-a-report.md": "How to read a report", "reporting.md": "Reports"},
    "ci": {"ci.md": "A gate for CI"},
    "deploy": {"serving.md": "The server: routes, batches, overload, faults"},
    "export": {"delivering.md": "From a study to files", "notebooks.md": "In notebooks"},
    "verify": {"delivering.md": "From a study to files"},
    "doctor": {"machine.md": "The machine's knobs"},
    "env": {"environments.md": "Other versions, side by side"},
    "cache": {"measuring.md": "How honed measures"},
    "mcp": {"agents.md": "For agents and editors"},
    "skill": {"agents.md": "For agents and editors"},
}  # fmt: skip


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a section of all verbs before the last section of the menu."""
    menu = [
        f"{FOLDER}/{name}"
        for name in ("index.md", *(name for name in pages() if name != "index.md"))
    ]
    nav = list(config.nav or [])
    config.nav = [*nav[:-1], {_SECTION: menu}, *nav[-1:]]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, text in pages().items():
        files.append(File.generated(config, f"{FOLDER}/{name}", content=text))
    return files


def pages() -> dict[str, str]:
    """The name of each page -> its text."""
    commands = typer.main.get_group(app).commands
    verbs = {f"{verb}.md": _page(verb, commands[verb]) for verb in commands}
    lines = [f"| [{verb}]({verb}.md) | {_first_line(commands[verb])} |" for verb in commands]
    index = ["# The verbs", "", "| verb | does |", "|---|---|", *lines, ""]
    return {**verbs, "index.md": "\n".join(index)}


def _page(verb: str, command: Any) -> str:
    parts = [f"# honed {verb}", *_described(command, f"honed {verb}")]
    for name, inner in getattr(command, "commands", {}).items():
        parts += [f"## honed {verb} {name}", *_described(inner, f"honed {verb} {name}")]
    more = [f"[{title}](../{page})" for page, title in MORE.get(verb, {}).items()]
    if more:
        parts.append(f"More: {', '.join(more)}.")
    return "\n\n".join(parts) + "\n"


def _described(command: Any, called: str) -> Iterator[str]:
    """The help with its examples as code, and the options as a table."""
    for paragraph in (command.help or "").strip().split("\n\n"):
        text = " ".join(line.strip() for line in paragraph.splitlines())
        said, colon, example = text.partition(": honed ")
        if text.startswith("honed ") and not _SENTENCE.search(text):
            yield _code(text)
        elif colon and not _SENTENCE.search(example):
            yield _safe(said) + ":"
            yield _code(f"honed {example}")
        else:
            yield _safe(text)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    for argument in arguments:
        words = argument.metavar or argument.name.upper()
        yield f"`{called} {words}`: {_safe(argument.help or '')}"
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    if options:
        rows = [f"| {_option(option)} | {_safe(option.help or '')} |" for option in options]
        yield "\n".join(["| option | does |", "|---|---|", *rows])


def _code(commands: str) -> str:
    return "```\n" + commands.replace("; honed ", "\nhoned ") + "\n```"


def _option(option: Any) -> str:
    """`--price PRICE`, or `--warm / --no-warm`."""
    if option.is_flag:
        names = [*option.opts, *option.secondary_opts]
        return f"<code>{_safe(' / '.join(names))}</code>"
    metavar = option.metavar or option.name.upper()
    return f"<code>{_safe(f'{option.opts[-1]} {metavar}')}</code>"


def _first_line(command: Any) -> str:
    return _safe(command.get_short_help_str(200))


def _safe(text: str) -> str:
    """Without signs that Markdown would read, except inside backticks."""
    parts = text.split("`")
    parts[::2] = ["".join(_SIGNS.get(sign, sign) for sign in part) for part in parts[::2]]
    return "`".join(parts)
