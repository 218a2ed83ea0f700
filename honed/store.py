"""The store of records: SQLite by default, PostgreSQL by URL.

The body of a record is its JSON; the other columns only serve to find it.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from honed import database
from honed.case import Case
from honed.errors import StoreError, did_you_mean
from honed.record import STATUSES, Record
from honed.record_filter import Condition, known_keys, parse

Records = list[Record]

DEFAULT = Path(".honed") / "records.db"
SCHEMA_VERSION = 1
_SETUP_LOCK = 0x686F6E6564  # "honed": any number that other programs do not lock
_FINAL = tuple(s for s in STATUSES if s != "interrupted")

_METADATA = sa.MetaData()
_SCHEMA = sa.Table("honed_schema", _METADATA, sa.Column("version", sa.Integer, primary_key=True))
_RECORDS = sa.Table(
    "records",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("stored_ns", sa.BigInteger, nullable=False, index=True),  # orders equal `created`
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("precision", sa.Text, nullable=False),
    sa.Column("case_id", sa.Text, nullable=False, index=True),
    sa.Column("sweep", sa.Text, index=True),
    sa.Column("honed", sa.Text, nullable=False),
    sa.Column("case", sa.Text, nullable=False),  # for filters: bodies hold every sample
    sa.Column("body", sa.Text, nullable=False),
)
_SWEEPS = sa.Table(
    "sweeps",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("stored_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredSweep:
    """The Cases of one command in their order, and the keys that differ between them."""

    id: str
    created: str
    cases: tuple[Case, ...]
    varying: tuple[str, ...]


class Store:
    """One database of records. Every fault of the database is raised as a StoreError."""

    def __init__(self, url: sa.URL, make: bool = True) -> None:
        self.url = url
        if not make and database.is_missing(url):
            raise self._nothing_yet()
        with self._faults():
            self._engine = database.connect(url)
            self._set_up(make)

    def append(self, record: Record, sweep: str | None = None) -> None:
        """Store a record under the sweep that measured it. The record is durable on return."""
        row = {c: getattr(record, c) for c in ("id", "created", "status", "honed")}
        row |= {c: str(record.case.get(c)) for c in ("model", "backend", "precision")}
        row |= {"case_id": record.to_case().id, "sweep": sweep, "stored_ns": time.time_ns()}
        row |= {"case": _json(dict(record.case)), "body": _json(record.to_json())}
        try:
            with self._engine.begin() as connection:
                connection.execute(_RECORDS.insert(), row)
        except IntegrityError as error:
            # A caller that lost a commit's answer tries again: the same record is stored once.
            body = sa.select(_RECORDS.c.body).where(_RECORDS.c.id == record.id)
            if [r.body for r in self._rows(body)] != [row["body"]]:
                raise StoreError(f"{self} holds another record {record.id}") from error
        except (SQLAlchemyError, OSError) as error:
            raise database.explain(error, self.url) from error

    def get(self, id: str) -> Record:
        """The record with this id, or the only one whose id begins with it."""
        exact, near = _RECORDS.c.id == id, _RECORDS.c.id.startswith(id, autoescape=True)
        rows = self._rows(sa.select(_RECORDS.c.id).where(exact))
        if id and not rows:
            rows = self._rows(sa.select(_RECORDS.c.id).where(near).limit(6))
        ids = [row.id for row in rows]
        if not ids:
            known = [row.id for row in self._rows(sa.select(_RECORDS.c.id))]
            hint = did_you_mean(id, known) or "honed list shows the records"
            raise StoreError(f"no record is called {id!r} in {self}", hint)
        if len(ids) > 1:
            raise StoreError(f"several records begin with {id!r}", f"give more: {', '.join(ids)}")
        return self._bodies(ids)[0]

    def newest(self) -> Record:
        """The record stored last."""
        if not (records := self.list(limit=1)):
            raise self._nothing_yet()
        return records[0]

    def list(
        self,
        limit: int | None = 20,
        where: Mapping[str, Any] | Sequence[str] = (),
        since: str | None = None,
    ) -> Records:
        """The newest `limit` records that match, the newest last.

        where: conditions on keys of a Case or on status, sweep, created, as a mapping of keys to
            values or as words: "key=value", "batch_size>=8"; "sweep=last" is the newest sweep.
        since: an ISO date or time; records created then or later.
        """
        wanted = [self._of_last_sweep(condition) for condition in parse(where)]
        order = (_RECORDS.c.stored_ns.desc(), _RECORDS.c.id)
        query = sa.select(_RECORDS.c.id, _RECORDS.c.case).order_by(*order)
        for condition in wanted:
            if condition.of_column:
                query = query.where(condition.compare(_RECORDS.c[condition.key]))
        if since is not None:
            query = query.where(_RECORDS.c.created >= since)
        settings = [c for c in wanted if not c.of_column]
        if not settings:
            return self._bodies([row.id for row in self._rows(query.limit(limit))][::-1])
        rows = [(row.id, json.loads(row.case)) for row in self._rows(query)]
        known_keys(settings, [case for _, case in rows])
        ids = [id for id, case in rows if all(c.holds(case) for c in settings)]
        return self._bodies(ids[:limit][::-1])

    def _of_last_sweep(self, condition: Condition) -> Condition:
        if (condition.key, condition.value) != ("sweep", "last"):
            return condition
        return replace(condition, value=self.sweep("last").id)

    def finished(
        self, sweep: str | None = None, case_ids: Sequence[str] | None = None
    ) -> set[str]:
        """The ids of the Cases that need not run again: with any final status, failed or not."""
        query = sa.select(_RECORDS.c.case_id).where(_RECORDS.c.status.in_(_FINAL)).distinct()
        if sweep is not None:
            query = query.where(_RECORDS.c.sweep == sweep)
        ids = {row.case_id for row in self._rows(query)}
        return ids if case_ids is None else ids & set(case_ids)

    def add_sweep(self, cases: Sequence[Case], varying: Sequence[str] = ()) -> str:
        """Store the Cases that are about to run; returns the sweep's id."""
        id, now = secrets.token_hex(4), datetime.now(UTC).isoformat(timespec="seconds")
        body = {"cases": [case.to_json() for case in cases], "varying": list(varying)}
        row = {"id": id, "created": now, "stored_ns": time.time_ns(), "body": _json(body)}
        with self._faults(), self._engine.begin() as connection:
            connection.execute(_SWEEPS.insert(), row)
        return id

    def last_sweep(self) -> StoredSweep | None:
        return next(self._sweeps(), None)

    def sweep(self, id: str) -> StoredSweep:
        """The sweep with this id, the only one whose id begins with it, or the "last"."""
        known = list(self._sweeps())
        sweeps = known[:1] if id == "last" else [s for s in known if id and s.id.startswith(id)]
        if len(sweeps) != 1:
            problem = "several sweeps begin with" if sweeps else "no sweep is called"
            names = ", ".join(["last", *(s.id for s in known[:8])])
            hint = f"known: {names}" if known else "honed run model=NAME batch_size=1,8 makes one"
            raise StoreError(f"{problem} {id!r} in {self}", hint)
        return sweeps[0]

    def find_sweep(self, cases: Sequence[Case]) -> str | None:
        """The latest sweep over exactly these Cases, in any order."""
        ids = {case.id for case in cases}
        return next((s.id for s in self._sweeps() if {c.id for c in s.cases} == ids), None)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return database.name(self.url)

    def _nothing_yet(self) -> StoreError:
        return StoreError(f"no records in {self} yet", "honed run model=NAME makes one")

    def _set_up(self, make: bool) -> None:
        version = self._version()
        if version is None and not make:
            raise self._nothing_yet()
        if version is None:
            self._create()
        elif version > SCHEMA_VERSION:
            raise StoreError(
                f"{self} was written by a newer honed (schema {version})", "pip install -U honed"
            )

    def _version(self) -> int | None:
        """The schema's version; None while tables are missing, because it is written last."""
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table(_SCHEMA.name):
                return None
            return connection.execute(sa.select(sa.func.max(_SCHEMA.c.version))).scalar()

    def _create(self) -> None:
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # IF NOT EXISTS does not keep two sessions from creating the same table at once.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SETUP_LOCK)))
            for table in _METADATA.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))
        # Another process may have written the version first.
        with suppress(IntegrityError), self._engine.begin() as connection:
            connection.execute(_SCHEMA.insert(), {"version": SCHEMA_VERSION})

    def _rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with self._faults(), self._engine.connect() as connection:
            return connection.execute(query).all()

    def _bodies(self, ids: Sequence[str]) -> Records:
        """The records of `ids`, in this order; read in portions, as SQL limits a list's length."""
        bodies = {}
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            query = sa.select(_RECORDS.c.id, _RECORDS.c.body).where(_RECORDS.c.id.in_(some))
            bodies.update({row.id: row.body for row in self._rows(query)})
        return [Record.from_json(json.loads(bodies[id])) for id in ids if id in bodies]

    def _sweeps(self) -> Iterator[StoredSweep]:
        for row in self._rows(sa.select(_SWEEPS).order_by(_SWEEPS.c.stored_ns.desc())):
            body = json.loads(row.body)
            cases = tuple(Case.from_json(case) for case in body["cases"])
            yield StoredSweep(row.id, row.created, cases, tuple(body["varying"]))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, ImportError, OSError) as error:
            raise database.explain(error, self.url) from error


def open_store(url: str | None = None, *, make: bool = True) -> Store:
    """The store at `url` (a database URL or a file), else `$HONED_STORE`, else ./.honed.

    With `make` a missing store is made, without it a missing store is a StoreError, as is a store
    that cannot be read and written.
    """
    return Store(database.parse(url or os.environ.get("HONED_STORE") or str(DEFAULT)), make)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
