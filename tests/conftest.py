"""Every test run has a cache of its own and never asks the network.

A test run that a test starts uses the cache of the outer run, which HONED_TESTS_CACHE names.
"""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

_CACHE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Set before any test module is imported: libraries read these on import."""
    folder = os.environ.get("HONED_TESTS_CACHE")
    if folder is None:
        folder = config.stash[_CACHE] = tempfile.mkdtemp(prefix="honed-tests-")
    os.environ["HONED_CACHE"] = folder
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_MODULES_CACHE"] = f"{folder}/modules"


def pytest_unconfigure(config: pytest.Config) -> None:
    if _CACHE in config.stash:
        shutil.rmtree(config.stash[_CACHE], ignore_errors=True)
