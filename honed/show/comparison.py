"""The sides of a comparison side by side, in a terminal and in Markdown."""

from __future__ import annotations

from rich import box
from rich.table import Table

from honed.compare.outcome import ComparedSide, Comparison
from honed.compare.say import sentence, settings_words
from honed.measures import MEASURES, UNITS
from honed.record import Interval
from honed.show.markdown import markdown_table, safe
from honed.show.numbers import NONE, ratio
from honed.show.say import cosine


def comparison_table(comparison: Comparison) -> Table:
    """A row for each side. A rich renderable; settings wrap, numbers are never cut."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for header in _headers(comparison):
        wraps = header in ("side", "settings")
        table.add_column(
            header, justify="left" if wraps else "right", no_wrap=not wraps, overflow="fold",
            min_width=20 if header == "settings" else None,
        )  # fmt: skip
    for side in comparison.sides:
        table.add_row(*_cells(comparison, side))
    return table


def comparison_markdown(comparison: Comparison) -> str:
    """The verdicts as sentences, the table, and the doubts, to paste into an issue."""
    verdicts = [f"**{safe(sentence(c, comparison))}**" for c in comparison.contrasts]
    if failure := comparison.failure:
        why = f"a trial of {failure.side} is {failure.status}: {failure.message}"
        verdicts.append(f"**no verdict: {safe(why)}**")
    headers = [header.replace("\n", " ") for header in _headers(comparison)]
    left = [header in ("side", "settings") for header in headers]
    rows = [[safe(text) for text in _cells(comparison, side)] for side in comparison.sides]
    counted = sum(t.counted for t in comparison.trials)
    how = f"{counted} trials, fresh processes in turns, in {comparison.elapsed_s:.0f} s"
    notes = [f"- doubt: {safe(d.message)}" for d in comparison.doubts]
    parts = ["\n\n".join(verdicts), markdown_table(headers, left, rows), "\n".join(notes), how]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headers(comparison: Comparison) -> list[str]:
    unit = UNITS[MEASURES[comparison.metric].unit].shown
    settings = ["settings"] if _has_settings(comparison) else []
    return ["side", *settings, f"median\n{unit}", "ratio\n(95 % interval)", "trials", "cosine"]


def _cells(comparison: Comparison, side: ComparedSide) -> list[str]:
    unit = UNITS[MEASURES[comparison.metric].unit]
    median = NONE if side.median is None else f"{side.median * unit.factor:,.4g}"
    settings = [settings_words(side.differs)] if _has_settings(comparison) else []
    against, trials = _ratio(comparison, side), str(side.trials)
    return [side.label, *settings, median, against, trials, cosine(side.cosine_min)]


def _has_settings(comparison: Comparison) -> bool:
    return any(side.differs for side in comparison.sides)


def _ratio(comparison: Comparison, side: ComparedSide) -> str:
    of_side = (c.ratio for c in comparison.contrasts if c.side == side.label)
    return ratio(next(of_side, Interval(None)))
