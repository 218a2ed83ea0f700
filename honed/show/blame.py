"""The comparisons of a search through releases as a table, in a terminal and in Markdown."""

from __future__ import annotations

from rich import box
from rich.table import Table

from honed.blame.outcome import Blame
from honed.blame.say import headline
from honed.show.markdown import markdown_table, safe
from honed.show.numbers import ratio

HEADINGS = ("question", "older", "newer", "ratio (95 % interval)", "verdict", "trials")
LEFT = (True, True, True, False, True, False)
_QUESTIONS = {
    "ends": "is the newest slower?",
    "halving": "by more than half of it?",
    "confirming": "measured afresh",
}


def blame_lines(of: Blame) -> list[tuple[str, ...]]:
    """The cells of each comparison, under HEADINGS."""
    return [
        (_QUESTIONS[look.role], look.older, look.newer, ratio(look.ratio), look.verdict,
         str(look.trials))
        for look in of.looks
    ]  # fmt: skip


def blame_table(of: Blame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, left in zip(HEADINGS, LEFT, strict=True):
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for line in blame_lines(of):
        table.add_row(*line)
    return table


def blame_markdown(of: Blame) -> str:
    """The sentence, the comparisons, and the skipped releases, to paste into an issue."""
    lines = [list(map(safe, line)) for line in blame_lines(of)]
    skipped = [f"- skipped {safe(s.version)}: {safe(s.reason)}" for s in of.skipped]
    table = markdown_table(HEADINGS, LEFT, lines) if lines else ""
    parts = [f"**{safe(headline(of))}**", table, "\n".join(skipped)]
    return "\n\n".join(part for part in parts if part) + "\n"
