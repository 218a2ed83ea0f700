"""The page of a suite: findings, tables and pictures of each experiment, and what was skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.files import give
from honed.report.evidence import Evidence
from honed.report.figures.base import Picture
from honed.report.mistakes import answers
from honed.report.page import contents, parts_of, templates
from honed.report.views.base import Grid, Subject, load_view
from honed.show.rows import rows
from honed.suite.measure import Result


@dataclass(frozen=True, slots=True)
class Chapter:
    """One experiment on the page. `skipped` are labels, statuses and reasons; `absence` is said in
    the place of findings."""

    name: str
    title: str
    question: str
    findings: tuple[str, ...]
    grids: tuple[Grid, ...]
    pictures: tuple[tuple[str, Picture], ...]
    skipped: tuple[tuple[str, str, str], ...]
    absence: str


def write(name: str, results: Sequence[Result], out: Path) -> Path:
    """Write the page, which needs no network."""
    return give(out, page(name, results), "--out FILE")


def page(name: str, results: Sequence[Result]) -> str:
    """The whole file."""
    chapters = [_chapter(result) for result in results]
    pictures = [picture for chapter in chapters for picture in chapter.pictures]
    records = {record.id: record for result in results for record in result.records}
    evidence = Evidence(tuple(records.values()))
    return templates().get_template("suite.html.j2").render(
        title=f"honed suite {name}", heading=contents.heading(evidence), chapters=chapters,
        mistakes=answers(evidence.records), records=evidence.records,
        status_counts=contents.status_counts(evidence), table=rows(evidence.records),
        doubts=contents.doubts(evidence), machines=contents.machines(evidence),
        **parts_of(pictures),
    )  # fmt: skip


def _chapter(result: Result) -> Chapter:
    experiment, subject = result.experiment, Subject(result)
    shown = load_view(experiment.view).show(subject)
    pictures = tuple(
        (f"{experiment.name}-{number}", picture)
        for number, picture in enumerate(shown.pictures, 1)
    )
    left = f"{contents.counted(result.left, 'case')} not measured yet" if result.left else ""
    skipped = [
        (subject.label(r), r.status, contents.reason(r)) for r in result.records if not r.metrics
    ]
    absence = f"No numbers{': ' if left else ''}{left}."
    return Chapter(
        experiment.name, experiment.title,
        f"{experiment.question}{f' ({left}.)' if left else ''}", shown.findings, shown.grids,
        pictures, tuple(skipped), absence,
    )  # fmt: skip
