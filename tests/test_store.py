"""The store over SQLite; tests/test_store_postgres.py repeats the essentials over PostgreSQL."""

import contextlib
import gzip
import io
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from records import failed_record, make_record
from rich.console import Console

from honed.case import Case
from honed.errors import StoreError, UsageError
from honed.show.table import RecordsTable
from honed.store import open_store

TESTS = Path(__file__).parent


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "records.db"


@pytest.fixture
def store(path):
    with open_store(str(path)) as opened:
        yield opened


def child(code, *args, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        **options,
    )


_APPEND = """
import sys
from records import make_record
from honed.errors import StoreError
from honed.store import open_store
url, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = open_store(url)
for seed in range(first, first + count):
    record = make_record(seed=seed)
    try:
        store.append(record)
    except StoreError as error:
        print("fault", error.message, "|", error.hint, flush=True)
        break
    print(record.id, flush=True)
"""


def test_a_record_comes_back_as_it_was(store):
    record = make_record({"torch.mode": "compile", "instances": 2}, seed=3)
    store.append(record)
    assert store.get(record.id) == type(record).from_json(json.loads(json.dumps(record.to_json())))
    assert store.newest().to_json() == record.to_json()


def test_records_outlive_the_store(path):
    with open_store(str(path)) as store:
        store.append(make_record())
    with open_store(f"sqlite:///{path}") as store:
        assert len(store.list()) == 1


@pytest.fixture
def old_store(tmp_path):
    """A store that the honed of commit dfbf1d0 wrote: see tests/data/make_store.py."""
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((TESTS / "data" / "store_dfbf1d0.db.gz").read_bytes()))
    return path


def only_keys_of(old, new):
    """`new` without the keys that a later version added."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {key: only_keys_of(old[key], new[key]) for key in old}


def test_a_store_of_an_older_honed_opens_with_all_its_records(old_store):
    with contextlib.closing(sqlite3.connect(old_store)) as database:
        rows = database.execute("SELECT id, case_id, sweep, body FROM records").fetchall()
    with open_store(str(old_store)) as store:
        assert len(rows) == 9
        for id, case_id, sweep, body in rows:
            record = store.get(id)
            old = json.loads(body)
            assert only_keys_of(old, record.to_json()) == old
            assert record.to_case().id == case_id
            assert case_id in store.finished(sweep)
        stored = store.sweep("last")
        assert {case.id for case in stored.cases} == {case_id for _, case_id, _, _ in rows}
        assert len(store.list(where=[f"sweep={stored.id}", "precision=int8"])) == 3
        store.append(make_record(seed=50))
        assert len(store.list()) == 10


def test_a_store_of_an_older_honed_shows_the_same(old_store):
    console = Console(width=200, color_system=None, record=True, file=io.StringIO())
    with open_store(str(old_store)) as store:
        console.print(RecordsTable(store.list()))
    expected = (TESTS / "data" / "store_dfbf1d0.txt").read_text("utf-8")
    shown = console.export_text()
    assert [s.rstrip() for s in shown.splitlines()] == [s.rstrip() for s in expected.splitlines()]


def test_the_environment_names_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("HONED_STORE", str(tmp_path / "there.db"))
    open_store().close()
    assert (tmp_path / "there.db").is_file()


def test_by_default_it_lies_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("HONED_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    open_store().close()
    assert (tmp_path / ".honed" / "records.db").is_file()


def test_reading_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("HONED_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"no records in \.honed/records\.db yet") as caught:
        open_store(make=False)
    assert "honed run" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_reading_an_empty_file_makes_nothing(path):
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreError, match="no records in"):
        open_store(str(path), make=False)
    open_store(str(path)).close()
    with open_store(str(path), make=False) as store:
        assert store.list() == []


def test_a_unique_beginning_is_enough(store):
    store.append(make_record(id="abc123"))
    store.append(make_record(id="abd456"))
    store.append(make_record(id="ab"))
    assert store.get("abc").id == "abc123"
    assert store.get("ab").id == "ab"  # whole ids first
    with pytest.raises(StoreError, match="several records begin with 'a'") as caught:
        store.get("a")
    assert "abc123" in caught.value.hint


@pytest.mark.parametrize("id", ["abc124", "%", "a_c", ""])
def test_an_unknown_id(store, id):
    store.append(make_record(id="abc123"))
    with pytest.raises(StoreError, match="no record is called"):
        store.get(id)


def test_a_mistyped_id_names_the_nearest(store):
    store.append(make_record(id="abc123"))
    with pytest.raises(StoreError) as caught:
        store.get("abc132")
    assert "abc123" in caught.value.hint


def test_an_empty_store(store):
    assert store.list() == []
    assert store.finished() == set()
    assert store.last_sweep() is None
    with pytest.raises(StoreError, match="no records in") as caught:
        store.newest()
    assert "honed run" in caught.value.hint


def test_the_newest_come_last_and_limited(store):
    records = [make_record(seed=i) for i in range(5)]
    for record in records:
        store.append(record)
    assert [r.id for r in store.list(limit=2)] == [r.id for r in records[3:]]
    assert [r.id for r in store.list(limit=None)] == [r.id for r in records]
    assert [r.id for r in store.list(limit=1, where={"backend": "torch"})] == [records[4].id]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ({"batch_size": 8}, 1),
        (["batch_size=8"], 1),
        (["batch_size=8.0", "backend=torch"], 1),
        (["batch_size=8", "backend=onnxruntime"], 0),
        (["torch.mode=compile"], 1),
        (["threads=null"], 3),
        (["memory=true"], 3),
        ({"memory": True, "precision": "fp32"}, 3),
        (["status=oom"], 1),
        (["status=ok", "batch_size=8"], 1),
        ([], 3),
    ],
)
def test_filters(store, where, count):
    store.append(make_record({"batch_size": 8}, seed=1))
    store.append(make_record({"torch.mode": "compile"}, seed=2))
    store.append(failed_record("oom", "killed", seed=3))
    assert len(store.list(where=where)) == count


def test_filters_compare(store):
    for size in (1, 4, 8):
        made = f"2026-01-0{size}T00:00:00+00:00"
        store.append(make_record({"batch_size": size}, created=made, seed=size))
    for where, count in (
        (["batch_size>1"], 2),
        (["batch_size > 1 and batch_size != 8"], 1),
        (["created>2026-01-02"], 2),
        (["created>=2026-01-02 and batch_size<8"], 1),
    ):
        assert len(store.list(where=where)) == count


def test_filter_by_time(store):
    store.append(make_record(created="2026-01-01T00:00:00+00:00", seed=1))
    store.append(make_record(created="2026-02-01T00:00:00+00:00", seed=2))
    assert len(store.list(since="2026-01-15")) == 1


def test_mistyped_filters_teach(store):
    store.append(make_record({"torch.mode": "compile"}))
    with pytest.raises(UsageError) as caught:
        store.list(where=["torch.mod=compile"])
    assert "torch.mode" in caught.value.hint
    with pytest.raises(UsageError, match="is no condition"):
        store.list(where=["batch_size"])
    with pytest.raises(UsageError) as caught:
        store.list(where=["status=oon"])
    assert "oom" in caught.value.hint


def test_finished_are_all_but_the_interrupted(store):
    done, failed = make_record({"batch_size": 2}), failed_record("crashed", "x")
    stopped = failed_record("interrupted", "Ctrl-C", case={"batch_size": 4})
    for record in (done, failed, stopped):
        store.append(record, sweep="s1")
    store.append(make_record({"batch_size": 16}), sweep="s2")
    ids = {done.to_case().id, failed.to_case().id}
    assert store.finished("s1") == ids
    assert len(store.finished()) == 3
    assert store.finished(case_ids=[done.to_case().id, "other"]) == {done.to_case().id}
    assert [r.id for r in store.list(where=["sweep=s2"])] == [store.newest().id]


def test_sweeps_are_remembered(store):
    cases = tuple(Case("m", batch_size=b, knobs={"torch.mode": "compile"}) for b in (1, 8))
    first = store.add_sweep(cases, ("batch_size",))
    second = store.add_sweep(cases[:1])
    assert store.last_sweep().id == second
    assert store.find_sweep(cases[::-1]) == first
    assert store.find_sweep(cases[1:]) is None
    again = store.add_sweep(cases, ("batch_size",))
    last = store.last_sweep()
    assert store.find_sweep(cases) == again == last.id
    assert (last.cases, last.varying) == (cases, ("batch_size",))


def test_sweeps_are_called_by_their_ids(store):
    with pytest.raises(StoreError, match="no sweep is called 'last'"):
        store.sweep("last")
    first, second = (store.add_sweep([make_record({"batch_size": n}).to_case()]) for n in (1, 2))
    assert store.sweep("last").id == second
    store.append(make_record(seed=1), first)
    store.append(make_record(seed=2), second)
    assert [r.id for r in store.list(where=["sweep=last"])] == [make_record(seed=2).id]
    assert store.sweep(first[:6]).id == first
    with pytest.raises(StoreError) as caught:
        store.sweep("zz")
    assert first in caught.value.hint


def test_the_same_record_twice_is_one(store):
    store.append(make_record(id="one"))
    store.append(make_record(id="one"))
    assert len(store.list()) == 1


def test_another_record_of_the_same_id_is_refused(store):
    store.append(make_record(id="one"))
    with pytest.raises(StoreError, match="holds another record one"):
        store.append(make_record(id="one", seed=5))


def test_a_record_with_nan_is_our_bug(store):
    with pytest.raises(ValueError, match="JSON"):
        store.append(make_record(elapsed_s=float("nan")))
    assert store.list() == []


def test_records_survive_a_writer_that_is_killed(path):
    writer = child(_APPEND, path, 0, 100_000)
    stored = [writer.stdout.readline().strip() for _ in range(15)]
    os.kill(writer.pid, signal.SIGKILL)  # somewhere within the next appends
    stored += writer.communicate()[0].split()
    with open_store(str(path)) as store:
        found = [r.id for r in store.list(limit=None)]
        assert found[: len(stored)] == [s for s in stored if len(s) == 12]
        store.append(make_record(id="after"))
        assert store.newest().id == "after"


def test_processes_append_at_once_even_to_a_new_store(path):
    writers = [child(_APPEND, path, 1000 * i, 20) for i in range(3)]
    stored = set()
    for writer in writers:
        out, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
        assert "fault" not in out
        stored |= set(out.split())
    with open_store(str(path)) as store:
        assert {r.id for r in store.list(limit=None)} == stored
        assert len(stored) == 60


@contextlib.contextmanager
def read_only_folder():
    """A folder that this process may not write, even when root runs the tests."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["records.db", "deeper/records.db"])
def test_a_read_only_folder(name):
    with read_only_folder() as folder, pytest.raises(StoreError) as caught:
        open_store(str(folder / name))
    assert str(folder) in caught.value.message
    assert "HONED_STORE" in caught.value.hint


def test_a_folder_where_a_file_is(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        open_store(str(tmp_path / "file" / "records.db"))
    assert "HONED_STORE" in caught.value.hint


def test_a_full_disk_by_limit(path):
    """RLIMIT_FSIZE makes writes fail as a full disk does, for everybody."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    out, errors = child(_APPEND, path, 0, 1000, preexec_fn=limit).communicate(timeout=60)
    *stored, fault = out.splitlines()
    assert "fault" in fault, errors
    assert "full" in fault
    assert "make room" in fault
    with open_store(str(path)) as store:
        assert [r.id for r in store.list(limit=None)] == stored
        assert len(stored) > 3


def _tiny_disk(folder):
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True
    )
    return done.returncode == 0


def test_a_full_disk_for_real(tmp_path):
    disk = tmp_path / "disk"
    if not _tiny_disk(disk):
        pytest.skip("mounting is not permitted; the test by limit covers it")
    try:
        with open_store(str(disk / "records.db")) as store:
            stored = []

            def fill():
                for seed in range(1000):
                    record = make_record(seed=seed)
                    store.append(record)
                    stored.append(record.id)

            with pytest.raises(StoreError) as caught:
                fill()
            assert "full" in caught.value.message
            assert "make room" in caught.value.hint
            assert [r.id for r in store.list(limit=None)] == stored
            assert stored
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_file_that_is_no_database(path):
    path.parent.mkdir()
    path.write_bytes(b"these are not records\n" * 200)
    with pytest.raises(StoreError, match="not a database") as caught:
        open_store(str(path))
    assert "move it away" in caught.value.hint


def test_a_damaged_database(path):
    with open_store(str(path)) as store:
        for seed in range(20):
            store.append(make_record(seed=seed))
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 8192))
    with pytest.raises(StoreError) as caught, open_store(str(path)) as store:
        store.list(limit=None)
    assert "damaged" in caught.value.message
    assert ".recover" in caught.value.hint


def test_a_database_of_something_else(path):
    import sqlite3

    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE records (song TEXT)")
        other.commit()
    with pytest.raises(StoreError, match="tables are not honed's"):
        open_store(str(path))


def test_a_store_of_a_newer_honed(path):
    import sqlite3

    open_store(str(path)).close()
    with contextlib.closing(sqlite3.connect(path)) as newer:
        newer.execute("INSERT INTO honed_schema VALUES (99)")
        newer.commit()
    with pytest.raises(StoreError, match="newer honed") as caught:
        open_store(str(path))
    assert "pip install -U honed" in caught.value.hint


def test_a_store_that_stays_locked(path, monkeypatch):
    import sqlite3

    from honed import database

    monkeypatch.setattr(database, "_BUSY_S", 0.1)
    with open_store(str(path)) as store, contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="kept it locked"):
            store.append(make_record())
        other.rollback()
        store.append(make_record())
        assert len(store.list()) == 1


@pytest.mark.parametrize("url", ["redis://localhost/0", "://", "postgresql://host:port/x"])
def test_a_url_that_cannot_be(url):
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert "postgresql://" in caught.value.hint


def test_a_missing_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match="not installed") as caught:
        open_store("postgresql://localhost/x")
    assert caught.value.hint == "pip install 'honed[postgresql]'"


def test_an_unreachable_server_and_a_secret():
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        open_store("postgresql://honed:secret@127.0.0.1:9/records")
    assert "secret" not in caught.value.message
    assert "127.0.0.1:9" in caught.value.message
