"""Stored records as pictures and tables. A report reads records and measures nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from honed.record import Record
    from honed.show.rows import Extra
    from honed.study import StudyFacts


def select(
    store: str | None = None, where: Sequence[str] = (), sweep: str | None = None,
    also: Sequence[str] = (),
) -> list[Record]:  # fmt: skip
    """The stored records that meet all conditions, the newest last; StoreError when there is none.

    `also`: ids of more records. An older store keeps the last measurement of a study outside the
    study's sweep.
    """
    from honed.errors import StoreError
    from honed.store import open_store

    with open_store(store, make=False) as opened:
        conditions = list(where)
        if sweep is not None:
            conditions.append(f"sweep={opened.sweep(sweep).id}")
        records = {r.id: r for r in opened.list(limit=None, where=conditions)}
        for id in [id for id in also if id not in records]:
            with suppress(StoreError):
                records[id] = opened.get(id)
        if records:
            return list(records.values())
        if conditions:
            raise StoreError(
                f"no record in {opened} matches {' and '.join(conditions)}",
                "honed list shows the records",
            )
        raise StoreError(f"no records in {opened} yet", "honed run model=NAME makes one")


def make(
    records: Sequence[Record], out: Path, png: Path | None = None, *,
    study: StudyFacts | None = None, extra: Extra | None = None,
) -> Iterator[Path]:  # fmt: skip
    """Write the page, and each picture as PNG into the folder `png`; yields the written paths.

    `study`: the tuning study to draw. `extra`: more columns and sentences.
    """
    from honed.files import give
    from honed.report.evidence import Evidence
    from honed.report.figures.base import all_pictures
    from honed.report.page import page
    from honed.report.png import write_all

    evidence = Evidence(tuple(records), study)
    yield give(out, page(evidence, extra), "--out FILE")
    if png is not None:
        yield from write_all(list(all_pictures(evidence)), png)


def write_markdown(records: Sequence[Record], out: Path, extra: Extra | None = None) -> Path:
    """Write the page's table for documents."""
    from honed.files import give
    from honed.show.markdown import markdown

    return give(out, markdown(records, extra), "--markdown FILE")


def write_latex(records: Sequence[Record], out: Path, extra: Extra | None = None) -> Path:
    """Write the page's table for papers."""
    from honed.files import give
    from honed.show.latex import latex

    return give(out, latex(records, extra), "--latex FILE")


def write_typst(records: Sequence[Record], out: Path, extra: Extra | None = None) -> Path:
    """Write the page's table for papers that are set with Typst."""
    from honed.files import give
    from honed.show.typst import typst

    return give(out, typst(records, extra), "--typst FILE")
