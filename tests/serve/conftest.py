"""One server of the fake engine for the whole run, and a model folder for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Server, write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("served") / "tiny-embedder")


@pytest.fixture(scope="session")
def words(model: Path) -> list[str]:
    """Two workers of the fake engine, which may share a core."""
    return [f"model={model}", "backend=fake", "sequence_length=8", "instances=2", "threads=1",
            "oversubscribe=true"]  # fmt: skip


@pytest.fixture(scope="session")
def server(words: list[str]) -> Iterator[Server]:
    """For tests that leave the server as it was."""
    running = Server(*words)
    yield running
    running.stop()


@pytest.fixture
def hub_client(monkeypatch: pytest.MonkeyPatch) -> Callable[[Server], Any]:
    """huggingface_hub's client for a server. Offline mode would forbid this machine, too."""
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    return lambda server: huggingface_hub.InferenceClient(server.url)


@pytest.fixture
def start(words: list[str]) -> Iterator[Callable[..., Server]]:
    """A function that starts a server of its own, with more words."""
    running: list[Server] = []

    def started(*more: str, **options: Any) -> Server:
        running.append(Server(*words, *more, **options))
        return running[-1]

    yield started
    for each in running:
        each.stop()
