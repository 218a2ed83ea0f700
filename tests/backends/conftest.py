"""Close the engines that a test run has loaded."""

from __future__ import annotations

import engine_steps


def pytest_sessionfinish() -> None:
    engine_steps.close_all()
