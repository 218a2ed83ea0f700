"""The environments of releases: their names, and when one is kept or made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honed import environments
from honed.blame.environment import maker
from honed.environments.environment import Environment
from honed.environments.installer import Installer

Made = dict[str, Environment]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Made:
    """Environments by name; each has an interpreter, and nothing is installed."""
    by_name: Made = {}

    def create(name: str, requirements: tuple[str, ...], *_: Any, **__: Any) -> None:
        folder = tmp_path / name
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
        by_name[name] = Environment(name, folder, "2026-01-01", "3.12", requirements)

    def remove(name: str) -> None:
        environment = by_name.pop(name)
        environment.interpreter.unlink()
        environment.interpreter.parent.rmdir()

    monkeypatch.setattr(environments, "find", by_name.get)
    monkeypatch.setattr(environments, "create", create)
    monkeypatch.setattr(environments, "remove", remove)
    return by_name


def test_a_release_of_another_build_has_a_name_that_an_environment_may_have(made: Made) -> None:
    name = maker("torch", Installer("pip"))("2.9.0+cpu")
    assert name == "blame-torch-2.9.0-cpu"
    assert made[name].requirements == ("torch==2.9.0+cpu",)


def test_an_environment_is_kept_unless_its_packages_differ(made: Made) -> None:
    name = maker("engine", Installer("pip"))("1.0")
    first = made[name]
    assert maker("engine", Installer("pip"))("1.0") == name
    assert made[name] is first
    assert maker("engine", Installer("pip"), ["onnx==1.18"])("1.0") == name
    assert made[name].requirements == ("engine==1.0", "onnx==1.18")
