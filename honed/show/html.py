"""Records, comparisons and studies as HTML for notebooks.

Text and lines take the colour of the notebook, light or dark; a status is white on a dark colour
of its own. The style is part of each fragment, because a notebook keeps each output apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatch
from html import escape
from typing import Any

from honed.blame.outcome import Blame
from honed.blame.say import headline
from honed.compare.outcome import Comparison, Contrast
from honed.compare.say import sentence, settings_words
from honed.measures import MEASURES, UNITS
from honed.record import Doubt, Record
from honed.show.blame import HEADINGS, LEFT, blame_lines
from honed.show.columns import measure_columns
from honed.show.details import sections
from honed.show.group_messages import folded
from honed.show.numbers import NONE, ratio
from honed.show.rows import rows
from honed.show.say import cosine, word
from honed.stored import Records
from honed.study import Candidate, Goal, Outcome, StudyFacts, candidates
from honed.tune import say

_STYLE = """<style>
.honed { font-size: 0.9em; line-height: 1.45; max-width: 100%; }
.honed p { margin: 0.3em 0; }
.honed .scroll { overflow-x: auto; }
.honed table { border-collapse: collapse; margin: 0.4em 0; font-variant-numeric: tabular-nums; }
.honed th, .honed td { padding: 3px 10px 3px 0; text-align: left; vertical-align: top; border: 0;
  border-bottom: 1px solid rgba(128, 128, 128, 0.35); background: none; color: inherit; }
.honed th { font-weight: 600; white-space: nowrap; }
.honed td.number, .honed th.number { text-align: right; white-space: nowrap; }
.honed .faint { opacity: 0.75; }
.honed .status { background: #8c1d0b; color: #fff; border-radius: 4px; padding: 1px 7px;
  font-weight: 600; }
.honed .status.ok { background: #00664a; }
.honed .status.unproven, .honed .status.interrupted { background: #6d4a00; }
.honed svg { vertical-align: middle; overflow: visible; }
.honed summary { cursor: pointer; }
</style>"""
_MOST_TRIALS = 12  # settings of a study; to_frame() has all
_STRIP_PX = 140  # width of the drawing of an interval


def html(of: Any) -> str:
    """The fragment for `of`; TypeError for data that has none."""
    return f'{_STYLE}<div class="honed">{_body(of)}</div>'


@singledispatch
def _body(of: Any) -> str:
    raise TypeError(f"{type(of).__name__} has no form in HTML")


@_body.register
def _(of: Record) -> str:
    case = of.case
    settings = " ".join(word(case.get(key)) for key in ("model", "backend", "precision"))
    about = f"{of.id} · {of.created[:19].replace('T', ' ')} · honed {of.honed}"
    shown = [c for c in measure_columns([of]) if c.read(of) != NONE]
    measured = _table(
        ("measure", "value"), (True, False),
        [(escape(c.heading), escape(c.read(of))) for c in shown],
    ) if shown else ""  # fmt: skip
    details = "".join(
        f"<p><b>{escape(name)}</b></p>{_plain_table(lines)}"
        for name, lines in sections(of).items()
    )
    return (
        f"<p><b>{escape(settings)}</b> {_status(of.status)}</p>"
        f'<p class="faint">{escape(about)}</p>{_error(of)}{measured}{_doubts(of.doubts)}'
        f"<details><summary>settings, memory, machine</summary>{details}</details>"
    )


@_body.register
def _(of: Records) -> str:
    if not of:
        return "<p>no records</p>"
    table = rows(of)
    head = ["id", *(column.heading for column in table.columns), "status"]
    left = [True, *(column.left for column in table.columns), True]
    lines = []
    for row in table.rows:
        cells = [_best(cell.text) if cell.best else escape(cell.text) for cell in row.cells]
        lines.append([escape(row.record.id[:8]), *cells, _status(row.record.status)])
    reasons = dict.fromkeys(_error(record) for record in of)
    notes = folded([doubt.message for record in of for doubt in record.doubts])
    return (
        f"{_table(list(map(escape, head)), left, lines)}{''.join(reasons)}"
        f"{_list(dict.fromkeys(notes.values()))}"
    )


@_body.register
def _(of: Comparison) -> str:
    said = [f"<p><b>{escape(sentence(c, of))}</b></p>" for c in of.contrasts]
    if of.failure is not None:
        why = f"no verdict: a trial of {of.failure.side} is {of.failure.status}"
        said.append(f"<p><b>{escape(why)}: {escape(of.failure.message)}</b></p>")
    unit = UNITS[MEASURES[of.metric].unit]
    by_side = {contrast.side: contrast for contrast in of.contrasts}
    half = max((abs(end - 1) for c in of.contrasts for end in _ends(c)), default=0.0)
    lines = []
    for side in of.sides:
        contrast = by_side.get(side.label)
        median = NONE if side.median is None else f"{side.median * unit.factor:,.4g}"
        lines.append([
            escape(side.label), escape(settings_words(side.differs)), median,
            NONE if contrast is None else ratio(contrast.ratio), _strip(contrast, half),
            str(side.trials), cosine(side.cosine_min),
        ])  # fmt: skip
    head = ("side", "settings", f"median {unit.shown}", "ratio (95 % interval)", "", "trials",
            "cosine")  # fmt: skip
    counted = sum(trial.counted for trial in of.trials)
    how = f"{counted} trials, fresh processes in turns, in {of.elapsed_s:.0f} s"
    table = _table(head, (True, True, False, False, True, False, False), lines)
    return f'{"".join(said)}{table}{_doubts(of.doubts)}<p class="faint">{how}</p>'


@_body.register
def _(of: Outcome) -> str:
    gain = say.gain(of.gain)
    objectives = " and ".join(of.objectives) or of.study
    if of.point is None:
        head = say.nothing(of)
    elif gain and of.gain.ci95 is not None:
        head = f"{objectives}: {gain} better than the default"
    elif gain and of.gain.value != 1.0:  # nothing was measured in turns
        head = f"{objectives}: {gain} better than the default, by one trial each"
    else:
        head = f"{objectives}: nothing was found that is surely better than the default"
    return f"<p><b>{escape(head)}</b></p>{_outcome(of)}"


@_body.register
def _(of: StudyFacts) -> str:
    head = of.headline or f"{of.name} has not ended: {len(of.ended)} trials so far"
    outcome = "" if of.outcome is None else _outcome(of.outcome)
    tried = candidates(of.trials)
    summary = f"the best of {len(tried)} settings in {len(of.ended)} trials"
    return (
        f"<p><b>{escape(head)}</b></p>{outcome}"
        f"<details><summary>{summary}</summary>{_trials(of.goals, tried)}</details>"
    )


@_body.register
def _(of: Blame) -> str:
    lines = [list(map(escape, line)) for line in blame_lines(of)]
    skipped = _list(f"skipped {each.version}: {each.reason}" for each in of.skipped)
    return f"<p><b>{escape(headline(of))}</b></p>{_table(HEADINGS, LEFT, lines)}{skipped}"


def _outcome(of: Outcome) -> str:
    """The recommended setting, and the steps to it from the default."""
    parts = []
    if of.point is not None:
        parts.append(f"<p>setting: <code>{escape(of.point.name)}</code></p>")
    if of.steps:
        lines = [list(map(escape, row)) for row in say.steps(of)]
        lines.append(["<b>all steps</b>", "", f"<b>{escape(say.gain(of.gain))}</b>", ""])
        head = ("step", "from → to", "times better (95 %)", "measured")
        parts.append(_table(head, (True, True, False, True), lines))
    if left_out := say.dropped(of):
        parts.append(f"<p>not recommended, as no gain was proven: {escape(left_out)}</p>")
    if of.note:
        parts.append(f"<p>when measured again: {escape(of.note)}</p>")
    how = f"study {of.study}: {say.counted(of.trials)} ({of.failed} without a result)"
    parts.append(f'<p class="faint">{escape(how)}</p>')
    return "".join(parts)


def _trials(goals: Sequence[Goal], tried: Sequence[Candidate]) -> str:
    head = ["setting", *(escape(f"{goal.name}, {goal.unit}") for goal in goals), "trials"]
    lines = []
    for candidate in tried[:_MOST_TRIALS]:
        values = [f"{value:,.4g}" for value in candidate.values] or [NONE] * len(goals)
        lines.append([escape(candidate.setting.name), *values, str(len(candidate.trials))])
    return _table(head, [True, *(False for _ in goals), False], lines)


def _table(head: Sequence[str], left: Sequence[bool], lines: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""

    def line(tag: str, cells: Sequence[str]) -> str:
        classes = ["" if is_left else ' class="number"' for is_left in left]
        inner = (f"<{tag}{c}>{cell}</{tag}>" for c, cell in zip(classes, cells, strict=True))
        return f"<tr>{''.join(inner)}</tr>"

    body = "".join(line("td", cells) for cells in lines)
    return (
        f'<div class="scroll"><table><thead>{line("th", head)}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _plain_table(lines: Sequence[Sequence[Any]]) -> str:
    """Rows of any length, whose cells are texts of a terminal."""
    width = max(map(len, lines))
    cells = [
        [escape(str(cell)) for cell in (*line, *[""] * (width - len(line)))] for line in lines
    ]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in cells)
    return f'<div class="scroll"><table><tbody>{body}</tbody></table></div>'


def _ends(contrast: Contrast) -> tuple[float, ...]:
    return contrast.ratio.ci95 or ()


def _strip(contrast: Contrast | None, half: float) -> str:
    """The interval as a line beside the mark of 1; `half` is what half of the width stands for."""
    if contrast is None or contrast.ratio.value is None or not _ends(contrast) or half <= 0:
        return ""

    def x(value: float) -> float:
        return _STRIP_PX / 2 * (1 + (value - 1) / half)

    low, high = map(x, _ends(contrast))
    at = x(contrast.ratio.value)
    return (
        f'<svg width="{_STRIP_PX}" height="14" role="img" '
        f'aria-label="{escape(ratio(contrast.ratio))}">'
        f'<line x1="{_STRIP_PX / 2}" x2="{_STRIP_PX / 2}" y1="0" y2="14" stroke="currentColor" '
        f'stroke-opacity="0.5" stroke-dasharray="2 2"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7" stroke="currentColor" '
        f'stroke-width="2"/><circle cx="{at:.1f}" cy="7" r="3" fill="currentColor"/></svg>'
    )


def _status(name: str) -> str:
    return f'<span class="status {escape(name)}">{escape(name)}</span>'


def _best(text: str) -> str:
    return f"<b>{escape(text)}</b>"


def _error(record: Record) -> str:
    if record.error is None:
        return ""
    hint = f" → {record.error.hint}" if record.error.hint else ""
    return f"<p>{_status(record.status)} {escape(record.error.message + hint)}</p>"


def _doubts(doubts: Sequence[Doubt]) -> str:
    return _list(f"doubt: {doubt.message}" for doubt in doubts)


def _list(texts: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""
