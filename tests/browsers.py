"""Debian's Chromium for the tests of pages; the one that Playwright brings is a download."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

CHROMIUM = shutil.which("chromium")
# Containers lack the user namespaces that Chromium's sandbox is made of; forms in space are drawn
# by the processor.
_FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
T = TypeVar("T")


def in_browser(work: Callable[[Any], T]) -> T:
    """What `work` returns for a browser.

    It runs in a thread of its own, because Playwright refuses one with an event loop, and another
    plugin may have left one in this thread.
    """
    from playwright.sync_api import sync_playwright

    def run() -> T:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
            try:
                return work(browser)
            finally:
                browser.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()
