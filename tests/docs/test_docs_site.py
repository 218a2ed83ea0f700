"""The site: it builds without a warning, asks no network, and its search knows every page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from browsers import CHROMIUM, in_browser
from pages import ROOT

from honed import discovery

# Where a page would load something from; links that a reader may click are no such places.
_LOADED = re.compile(r'<(?:link|script|img|iframe)\b[^>]*(?:src|href)="(https?://[^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_menu_and_every_verb_has_one(site: Path) -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    menu = set(re.findall(r"([\w-]+)\.md", text))
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} - menu == set()
    verbs = {name.removesuffix("_") for name in discovery.names("honed.cli")}
    assert {page.stem for page in (site / "verbs").glob("*.html")} == verbs | {"index"}
    page = (site / "verbs" / "run.html").read_text()
    for part in ("--config", "batch_size=1,8", "How honed measures", "Exit code 0"):
        assert part in page


def test_no_page_loads_anything_from_another_server(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    loaded = {url for page in pages for url in _LOADED.findall(page.read_text())}
    assert {url for url in loaded if not url.startswith("http://127.0.0.1")} == set()


def test_the_search_holds_every_page_and_works_from_files(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    for name in ("index.html", "blame.html", "verbs/tune.html", "engines-measured.html"):
        assert name in found
    assert (site / "search" / "search_index.js").exists()  # what a page opened as a file reads


def test_the_configuration_asks_no_font_of_another_server() -> None:
    text = re.sub(r"!\S+", "", (ROOT / "mkdocs.yml").read_text())
    config = yaml.safe_load(text)
    assert config["theme"]["font"] is False
    assert "offline" in config["plugins"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_page_opened_as_a_file_searches_and_fits_a_phone(site: Path) -> None:
    """The page is read from the disk, and every request that leaves the disk is an error."""

    def work(browser: Any) -> None:
        asked: list[str] = []
        desktop = browser.new_page(viewport={"width": 1366, "height": 900})
        desktop.on("request", lambda request: asked.append(request.url))
        desktop.goto((site / "index.html").as_uri())
        desktop.click("input.md-search__input")
        desktop.keyboard.type("halving", delay=20)  # the search listens to keys
        found = desktop.locator("a.md-search-result__link").first
        found.wait_for(timeout=30_000)
        assert "blame.html" in str(found.get_attribute("href"))
        assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        for name in ("index.html", "engines-measured.html", "verbs/run.html", "tuning.html"):
            phone.goto((site / name).as_uri())
            width = phone.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, name

    in_browser(work)
