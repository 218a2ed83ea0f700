"""Every test run has a cache of its own and never asks the network.

The processes of a parallel run (`pytest -n 2`), and a test run that a test starts, use the cache
of the outer run, which HONED_TESTS_CACHE names. HONED_TESTS_PROCESS names the test process that a
worker descends from (see our_workers.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile

import pytest

_CACHE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Set before any test module is imported: libraries read these on import."""
    folder = os.environ.get("HONED_TESTS_CACHE")
    if folder is None:
        folder = config.stash[_CACHE] = tempfile.mkdtemp(prefix="honed-tests-")
        os.environ["HONED_TESTS_CACHE"] = folder
    os.environ["HONED_TESTS_PROCESS"] = f"{os.getpid()}"
    # A shell that starts a job in the background lets it ignore Ctrl-C, and children inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["HONED_CACHE"] = folder
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_MODULES_CACHE"] = f"{folder}/modules"


def pytest_unconfigure(config: pytest.Config) -> None:
    if _CACHE in config.stash:
        shutil.rmtree(config.stash[_CACHE], ignore_errors=True)
