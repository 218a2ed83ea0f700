"""An index of two tiny packages and an empty home, for tests that make environments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from wheels import offline, write_index

from honed import environments
from honed.environments.environment import Environment
from honed.environments.installer import Installer


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_index(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def home(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; installers see only the tiny packages."""
    for name, value in offline(tmp_path / "home", wheels).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def made(
    tmp_path_factory: pytest.TempPathFactory, wheels: Path
) -> Iterator[tuple[Path, Environment]]:
    """A home with one environment, made once; tests must not change it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in offline(home, wheels).items():
            patch.setenv(name, value)
        yield home, environments.create("old", ("oldengine==1.0",), Installer("pip"))
