"""The store over a real PostgreSQL server: what SQLite's tests do not show."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import postgres
import pytest
import sqlalchemy as sa
from records import failed_record, make_record

from honed import database
from honed.case import Case
from honed.errors import StoreError
from honed.record import Error
from honed.store import open_store

TESTS = Path(__file__).parent

_APPEND = """
import sys
from records import make_record
from honed.store import open_store
store = open_store(sys.argv[1])
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + int(sys.argv[3])):
    record = make_record(seed=seed)
    store.append(record)
    print(record.id, flush=True)
"""


@pytest.fixture(scope="module")
def server():
    with postgres.server() as url:
        yield url


@pytest.fixture
def url(server, request):
    """A database of this test's own."""
    name = f"t{abs(hash(request.node.name))}"
    engine = sa.create_engine(database.parse(server), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.rpartition("/")[0] + f"/{name}"


def child(url, first, count):
    return subprocess.Popen(
        [sys.executable, "-c", _APPEND, url, str(first), str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


def test_a_record_comes_back_as_it_was(url):
    record = make_record({"torch.mode": "compile"}, id="abc123")
    with open_store(url) as store:
        store.append(record)
        store.append(record)
        store.append(make_record(id="abd456", error=Error("x", "a NUL \0 and 100 % ü\n")))
        assert store.get("abc").to_json() == record.to_json()
        assert store.newest().error.message == "a NUL \0 and 100 % ü\n"
        with pytest.raises(StoreError, match="several records"):
            store.get("ab")
        with pytest.raises(StoreError, match="another record"):
            store.append(make_record(id="abc123", seed=9))


def test_filters_order_and_resume(url):
    with open_store(url) as store:
        records = [make_record({"batch_size": b}, seed=b) for b in (1, 2, 4)]
        for record in records:
            store.append(record, sweep="s")
        store.append(failed_record("interrupted", "Ctrl-C"), sweep="s")
        assert store.list(limit=2)[0].id == records[2].id
        assert [r.id for r in store.list(where=["batch_size=2", "status=ok"])] == [records[1].id]
        assert store.finished("s") == {r.to_case().id for r in records}


def test_sweeps_are_remembered(url):
    cases = (Case("m"), Case("m", batch_size=8))
    with open_store(url) as store:
        assert store.last_sweep() is None
        id = store.add_sweep(cases, ("batch_size",))
        assert store.find_sweep(cases) == id == store.last_sweep().id
        assert store.last_sweep().cases == cases


def test_processes_append_at_once_even_to_a_new_database(url):
    writers = [child(url, 1000 * i, 15) for i in range(3)]
    stored = set()
    for writer in writers:
        out, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
        stored |= set(out.split())
    with open_store(url) as store:
        assert {r.id for r in store.list(limit=None)} == stored
        assert len(stored) == 45


def test_records_survive_a_writer_that_is_killed(url):
    writer = child(url, 0, 100_000)
    stored = [writer.stdout.readline().strip() for _ in range(10)]
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    with open_store(url) as store:
        assert [r.id for r in store.list(limit=None)][:10] == stored


def test_a_database_that_does_not_exist(server):
    missing = server.rpartition("/")[0] + "/nowhere"
    with pytest.raises(StoreError) as caught:
        open_store(missing)
    assert "nowhere" in caught.value.message
    assert "createdb" in caught.value.hint


def test_a_server_that_goes_away_and_comes_back(server, url):
    """A cut session is one fault; the next append opens a new one."""
    with open_store(url) as store:
        store.append(make_record(seed=1))
        engine = sa.create_engine(database.parse(server), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :n"
                ),
                {"n": url.rpartition("/")[2]},
            )
        engine.dispose()
        with pytest.raises(StoreError):
            store.append(make_record(seed=2))
        store.append(make_record(seed=2))
        assert len(store.list()) == 2


def test_a_user_who_may_only_read(url):
    with open_store(url) as store:
        store.append(make_record())
    engine = sa.create_engine(database.parse(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for words in (
            "DROP ROLE IF EXISTS reader",
            "CREATE ROLE reader LOGIN",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        ):
            connection.execute(sa.text(words))
    engine.dispose()
    with open_store(url.replace("honed@", "reader@")) as store:
        assert len(store.list()) == 1
        with pytest.raises(StoreError, match="permission denied") as caught:
            store.append(make_record(seed=2))
        assert "GRANT" in caught.value.hint


def test_tables_of_something_else(url):
    engine = sa.create_engine(database.parse(url))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE records (song TEXT)"))
    engine.dispose()
    with pytest.raises(StoreError, match="not honed's"):
        open_store(url)
