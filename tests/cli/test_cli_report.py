"""honed report as its users type it."""

import pytest
from command import honed
from landscape import Landscape, find, latency_s, question, stored
from records import failed_record, make_record

from honed.store import open_store


@pytest.fixture
def folder(tmp_path):
    with open_store(str(tmp_path / ".honed" / "records.db")) as store:
        sweep = store.add_sweep([make_record({"batch_size": 8}).to_case()])
        store.append(make_record({"batch_size": 1}, seed=1))
        store.append(make_record({"batch_size": 8}, seed=2), sweep)
        store.append(failed_record("oom", "killed", case={"batch_size": 64}, seed=3))
    return tmp_path


def test_a_page_and_pictures(folder):
    done = honed(folder, "report", "--out", "page.html", "--png", "png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "page.html"
    assert (folder / "png" / "batch_size.png").stat().st_size > 10_000
    assert done.stderr == "3 records, 1 without a result\n"
    assert "plotly.js" in (folder / "page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["batch_size=8"], 1),
        (["--where", "batch_size<=8 and status=ok and created > 2026-01-01"], 2),
        (["--sweep", "last"], 1),
    ],
)
def test_only_some_records(folder, words, count):
    done = honed(folder, "report", *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"{count} record")
    assert (folder / "report.html").is_file()


def test_what_is_not_there_is_told_and_nothing_is_made(tmp_path, folder):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = honed(empty, "report")
    assert done.returncode == 1
    assert "no records in .honed/records.db yet" in done.stderr
    assert list(empty.iterdir()) == []
    for words, said in (
        (["batch_size=2"], "no record in .honed/records.db matches batch_size=2"),
        (["--sweep", "zz"], "no sweep is called 'zz'"),
        (["--where", "bach_size=2"], "did you mean batch_size"),
        (["--where", "nonsense"], "is no condition"),
    ):
        done = honed(folder, "report", *words)
        assert done.returncode in (1, 2)
        assert said in done.stderr


def test_prices_add_a_column_and_name_the_cheapest_that_keeps_the_limit(folder):
    done = honed(folder, "report", "--price", "$4.848/h", "--limit", "latency_p50_ms<=1000",
                 "--markdown", "docs/table.md")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["report.html", "docs/table.md"]
    page = (folder / "report.html").read_text("utf-8")
    assert "cost per<br>million" in page
    short = page[page.index("In short") : page.index('id="table"')]
    assert "Cheapest that meets latency_p50_ms&lt;=1000:" in short
    table = (folder / "docs" / "table.md").read_text("utf-8")
    assert "| cost per million |" in table
    assert "- Cheapest that meets latency_p50_ms" in table
    assert "| oom |" in table


def test_a_limit_asks_for_a_price(folder):
    done = honed(folder, "report", "--limit", "latency_p50_ms<=1000")
    assert done.returncode == 2
    assert "add --price" in done.stderr


@pytest.fixture
def study(folder):
    """A study in the store of the folder, with its records, measured by a fake lab."""
    lab = Landscape(latency_s)
    with stored(folder / ".honed", question("budget=5m")) as (searched, url):
        find(searched, lab)
    with open_store(str(url.database)) as store:
        for id, record in lab.records.items():
            store.append(record, lab.sweeps[id])
    return searched.name


def test_a_study_is_drawn_by_its_name(folder, study):
    done = honed(folder, "report", "--study", study)
    assert done.returncode == 0, done.stderr
    page = (folder / "report.html").read_text("utf-8")
    for name in ("study_gain", "study_history"):
        assert f'id="{name}"' in page
    for words, said in (
        (["--study", "t"], "no study is called 't'"),
        (["--study", study, "--sweep", "last"], "--study or --sweep"),
    ):
        done = honed(folder, "report", *words)
        assert done.returncode == 2
        assert said in done.stderr
