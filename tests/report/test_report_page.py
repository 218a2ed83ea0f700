"""The page as one file, and in a real browser on a laptop, a telephone, dark and printed."""

import json
import re
import sys

import pytest
from browsers import in_browser
from records import failed_record, make_record
from reports import cores, engines, everything, record, study

from honed.errors import StoreError, UnsupportedError
from honed.record import Doubt, Error
from honed.report import browser, make, select
from honed.report.evidence import Evidence
from honed.report.page import contents, page, templates
from honed.show.numbers import NONE
from honed.store import open_store

SCREENS = {
    "laptop": {"viewport": {"width": 1366, "height": 768}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"viewport": {"width": 1366, "height": 768}, "color_scheme": "dark"},
    "print": {"viewport": {"width": 794, "height": 1123}},
}


INSIDE = {"exclude": [[".plot > *"]]}


@pytest.fixture(scope="module")
def text():
    return page(Evidence(tuple(everything())))


def test_it_needs_no_network(text):
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=[\"'](?!#)", markup)
    assert "@import" not in markup
    assert "url(" not in markup
    assert text.count("plotly.js v") == 1
    assert len(text) < 6_000_000


def test_every_record_is_in_the_table_and_every_failure_has_its_reason(text):
    for one in everything():
        assert f'id="r-{one.id}"' in text
    for reason in ("killed at 16 GiB → batch_size=4", "cosine 0.812 to torch fp32 is under 0.97"):
        assert reason in text
    assert "other programs took 31 % of the cores" in text
    assert "Example CPU @ 2.70GHz" in text


def test_doubts_that_differ_only_in_their_numbers_are_one_line():
    of = Evidence(tuple(
        make_record(seed=n, doubts=(Doubt("other_load", f"others used {n} % of the cores"),))
        for n in (21, 37, 62)
    ))  # fmt: skip
    ((line, ids),) = contents.doubts(of)
    assert line == "others used 21 to 62 % of the cores"
    assert ids == [r.id for r in of.records]


def test_every_picture_names_its_records(text):
    for section in re.findall(r'<section class="picture".*?</section>', text, re.DOTALL):
        ids = re.findall(r'href="#r-(\w+)"', section)
        assert ids
        assert len(ids) == int(re.search(r"<summary>(\d+) record", section)[1])


def test_text_of_records_is_escaped():
    nasty = "</script><script>alert(1)</script><b onclick=x>&"
    records = [
        make_record({"model": nasty, "backend": nasty, "batch_size": n}, seed=n) for n in (1, 2)
    ]
    records.append(failed_record("crashed", nasty, nasty, {"batch_size": 4}))
    text = page(Evidence(tuple(records)))
    assert "<b onclick" not in text
    assert "alert(1)</script>" not in text
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(data)["pictures"]


def test_without_pictures_there_is_still_a_table_and_no_plotly():
    record = failed_record("oom", "killed", "batch_size=1")
    text = page(Evidence((record,)))
    assert "nothing to draw" in text
    assert f'id="r-{record.id}"' in text
    assert len(text) < 50_000


def test_a_diverged_row_is_never_the_best():
    wrong = make_record(
        {"backend": "fake"}, p50_s=0.001, status="diverged", error=Error("diverged", "wrong")
    )
    records = (
        wrong,
        make_record(p50_s=0.1, seed=1),
        make_record({"threads": 1}, p50_s=0.2, seed=2),
    )
    text = page(Evidence(records))
    rows = dict(re.findall(r'<tr id="r-(\w+)">(.*?)</tr>', text, re.DOTALL))
    assert "<strong>" not in rows[wrong.id]
    assert "<strong>" in rows[records[1].id]


def test_make_writes_the_page_and_a_png_for_each_picture(tmp_path):
    from PIL import Image

    records = [*engines((1, 4)), *cores()]
    written = list(make(records, tmp_path / "a" / "report.html", tmp_path / "png"))
    assert written[0] == tmp_path / "a" / "report.html"
    pictures = {p.name for p in written[1:]}
    assert {"settings.png", "batch_size.png", "memory.png", "roofline.png"} <= pictures
    with Image.open(tmp_path / "png" / "cores.png") as image:
        assert image.size[0] == 1080
        ids = image.info["Description"].removeprefix("honed records: ").split()
    assert set(ids) < {r.id for r in records}


def test_a_path_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        list(make([make_record()], tmp_path / "file" / "report.html"))
    with pytest.raises(StoreError, match="cannot write into"):
        list(make([make_record()], tmp_path / "report.html", tmp_path / "file"))


def test_select_reads_by_conditions_and_sweep(tmp_path):
    url = str(tmp_path / "records.db")
    with open_store(url) as store:
        records = [make_record({"batch_size": n}, seed=n) for n in (1, 4, 8)]
        sweep = store.add_sweep([r.to_case() for r in records[1:]])
        store.append(records[0])
        for record in records[1:]:
            store.append(record, sweep)
    assert [r.id for r in select(url)] == [r.id for r in records]
    assert [r.id for r in select(url, sweep="last")] == [r.id for r in records[1:]]
    found = select(url, ["batch_size>1 and created>2026"], sweep[:5])
    assert [r.id for r in found] == [r.id for r in records[1:]]
    with pytest.raises(StoreError, match="matches batch_size=2"):
        select(url, ["batch_size=2"])


def test_select_makes_no_store(tmp_path):
    with pytest.raises(StoreError, match="no records in"):
        select(str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


def opened(browser, path, form):
    """The page in one of its forms, drawn to the end; any script error fails the test."""
    tab = browser.new_context(**SCREENS[form], offline=True).new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    if form == "print":
        tab.emulate_media(media="print")
    tab.goto(path.as_uri())
    tab.wait_for_selector("body[data-drawn=all]", timeout=60_000)
    assert not errors
    return tab


def looked_at(tab, form):
    """Measurements of the page in one form. Light colours are checked on the telephone only.

    Screen readers meet a plot as an image, so axe does not read the dots inside.
    """
    from axe_playwright_python.sync_playwright import Axe

    judged = form in ("phone", "dark")
    return {
        "faults": Axe().run(tab, context=INSIDE).response["violations"] if judged else [],
        "sizes": tab.evaluate("[document.documentElement.scrollWidth, innerWidth]"),
        "overflowing": tab.evaluate(
            "[...document.querySelectorAll('.plot')].filter(p => p.clientWidth && "
            "(!p.querySelector('svg') || p.querySelector('svg').clientWidth > p.clientWidth + 1))"
            ".map(p => p.id)"
        ),
        "ground": tab.evaluate("getComputedStyle(document.body).backgroundColor"),
        "line": tab.evaluate("document.querySelector('#batch_size--0 .js-line').style.stroke"),
        "spaces": tab.evaluate("[...document.querySelectorAll('.solid canvas')]"
                               ".filter(c => c.clientWidth).length"),
    }  # fmt: skip


def used(tab):
    """Sort a column up and down, and switch a line off."""
    head = tab.locator("thead button", has_text="p50")
    column = int(head.evaluate("b => b.closest('th').cellIndex"))
    read = f"[...document.querySelectorAll('tbody tr')].map(r => r.cells[{column}].innerText)"
    head.click()
    up = tab.evaluate(read)
    head.click()
    down = tab.evaluate(read)
    lines = "document.querySelectorAll('#batch_size--0 .js-line').length"
    before = tab.evaluate(lines)
    tab.locator("#batch_size .legend button").first.click()
    return up, down, (before, tab.evaluate(lines))


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """One browser for all forms, and few pictures, because axe is slow."""
    records = [r for r in engines((1, 4)) if r.case["precision"] != "bf16"]
    grid = [record({"threads": t, "instances": n}, 0.1 / (t * n)) for t in (1, 2) for n in (1, 2)]
    facts = study([r for r in grid if r.ok])
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(Evidence((*records, *grid), facts)), "utf-8")

    def look(browser):
        found = {}
        for form in SCREENS:
            tab = opened(browser, path, form)
            found[form] = looked_at(tab, form)
            if form == "laptop":
                found["used"] = used(tab)
            tab.context.close()
        return found

    return in_browser(look)


@pytest.mark.engine
@pytest.mark.parametrize("form", SCREENS)
def test_it_is_accessible_and_fits(seen, form):
    at = seen[form]
    grave = [v for v in at["faults"] if v["impact"] in ("serious", "critical")]
    assert not grave, json.dumps([(v["id"], v["nodes"][0]["html"]) for v in grave], indent=1)
    assert at["overflowing"] == []
    if form != "print":  # a page of paper shrinks what is too wide
        assert at["sizes"][0] <= at["sizes"][1]
    assert (at["ground"] == "rgb(12, 15, 20)") == (form == "dark")
    assert at["line"] == ("rgb(77, 169, 240)" if form == "dark" else "rgb(0, 114, 178)")
    assert (at["spaces"] > 0) == (form != "print"), "forms in space are for screens"


@pytest.mark.engine
def test_the_table_sorts_and_the_legend_switches_lines(seen):
    up, down, (before, after) = seen["used"]
    numbers = [float(t.split()[0].replace(",", "")) for t in up if t != NONE]
    assert numbers == sorted(numbers)
    assert [float(t.split()[0].replace(",", "")) for t in down if t != NONE] == numbers[::-1]
    assert after == before - 1


@pytest.mark.parametrize(
    ("module", "words"), [("jinja2", "needs jinja2"), ("plotly", "need plotly")]
)
def test_a_missing_library_is_an_error_with_the_command(monkeypatch, module, words):
    for name in [n for n in sys.modules if n.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    browser.template.cache_clear()
    templates.cache_clear()
    with pytest.raises(UnsupportedError, match=words) as caught:
        page(Evidence(tuple(engines())))
    assert caught.value.hint == "pip install 'honed[pictures]'"
