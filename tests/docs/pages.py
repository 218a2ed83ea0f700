"""The commands that the pages tell readers to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELL = ("", "bash", "console", "sh")
_OPERATORS = {">", ">>", "|", "||", "&&", ";", "2>"}


@dataclass(frozen=True)
class Command:
    """One `honed ...` of a page, cut at the first operator of the shell."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        words = shlex.split(self.text, comments=True)
        ends = [i for i, word in enumerate(words) if word in _OPERATORS]
        return words[1 : ends[0]] if ends else words[1:]

    def __str__(self) -> str:
        return f"{self.page}: {self.text[:60]}"


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The language and the text of every fenced block."""
    yield from _FENCE.findall(page.read_text("utf-8"))


def commands(page: Path) -> Iterator[Command]:
    """Every line of a shell's block that begins with `honed`; a backslash joins lines."""
    for language, text in blocks(page):
        if language in _SHELL:
            for line in text.replace("\\\n", " ").splitlines():
                stripped = line.strip().removeprefix("$ ")
                if stripped.startswith("honed "):
                    yield Command(page.name, " ".join(stripped.split()))
