"""Stored records, drawn for people. Reads records only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from honed.record import Record
    from honed.report.study import StudyFacts
    from honed.show.rows import Extra
    from honed.store import Store


def select(
    store: str | None = None,
    where: Sequence[str] = (),
    sweep: str | None = None,
    also: Sequence[str] = (),
) -> list[Record]:
    """The stored records that match, the newest last; StoreError when there is none.

    `also`: records of these ids as well, those that are there.
    """
    from honed.errors import StoreError
    from honed.store import open_store

    with open_store(store, make=False) as opened:
        words = [*where, *([f"sweep={opened.sweep(sweep).id}"] if sweep is not None else [])]
        records = list(opened.list(limit=None, where=words))
        left = set(also) - {r.id for r in records}
        records += [r for id in dict.fromkeys(also) if id in left and (r := _stored(opened, id))]
        if not records:
            asked = " and ".join(words)
            raise StoreError(
                f"no record in {opened} matches {asked}"
                if words
                else f"no records in {opened} yet",
                "honed list shows the records" if words else "honed run model=NAME makes one",
            )
    return records


def _stored(store: Store, id: str) -> Record | None:
    from honed.errors import StoreError

    try:
        return store.get(id)
    except StoreError:
        return None


def make(
    records: Sequence[Record],
    out: Path,
    png: Path | None = None,
    *,
    study: StudyFacts | None = None,
    extra: Extra | None = None,
) -> Iterator[Path]:
    """Write the page, and each picture as PNG into the folder `png`; yields what is written.

    `study`: what to draw of a tuning study. `extra`: columns and sentences of other rooms.
    """
    from honed.report.evidence import Evidence
    from honed.report.figures.base import all_pictures
    from honed.report.page import page
    from honed.report.png import write_all

    evidence = Evidence(tuple(records), study)
    yield _write(out, page(evidence, extra), "--out")
    if png is not None:
        yield from write_all(list(all_pictures(evidence)), png)


def write_markdown(records: Sequence[Record], out: Path, extra: Extra | None = None) -> Path:
    """Write the page's table for documents."""
    from honed.show.markdown import markdown

    return _write(out, markdown(records, extra), "--markdown")


def _write(path: Path, text: str, option: str) -> Path:
    from honed.errors import StoreError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}", f"{option} FILE that you may write"
        ) from error
    return path
