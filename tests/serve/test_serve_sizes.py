"""A server whose instances have different sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from served import Server
from typer.testing import CliRunner

from honed.cli import app
from honed.errors import UsageError

SHORT, LONG = "the cat sat", " ".join(["mat"] * 505)


@pytest.fixture(scope="module")
def sized(model: Path) -> Iterator[Server]:
    """Instances of one core and of two, which may share them."""
    running = Server(f"model={model}", "backend=fake", "sequence_length=8", "sizes=1+2",
                     "oversubscribe=true")  # fmt: skip
    yield running
    running.stop()


def computed(server: Server) -> list[int]:
    """How many texts each worker has answered."""
    return [each["texts"] for each in server.ask("/state").json["workers"]]


def test_short_and_long_texts_go_to_different_workers(sized: Server, server: Server) -> None:
    small, large = sized.ask("/state").json["workers"]
    assert len(large["cpus"]) == min(2, len(small["cpus"]) * 2)
    assert small["takes"].startswith("up to ")
    assert large["takes"].startswith("from ")
    for text, place in ((SHORT, 0), (LONG, 1)):
        before = computed(sized)
        found = sized.ask("/embed", {"inputs": text}).json
        after = computed(sized)
        assert after[place] == before[place] + 1
        assert after[1 - place] == before[1 - place]
        np.testing.assert_allclose(found, server.ask("/embed", {"inputs": text}).json, atol=1e-5)


def test_one_request_may_have_texts_of_every_length(sized: Server) -> None:
    texts = [SHORT, LONG] * 40
    rows = np.array(sized.ask("/embed", {"inputs": texts}).json)
    np.testing.assert_allclose(rows[::2], np.tile(rows[0], (40, 1)), atol=1e-5)
    np.testing.assert_allclose(rows[1::2], np.tile(rows[1], (40, 1)), atol=1e-5)
    assert not np.allclose(rows[0], rows[1], atol=1e-3)


def test_the_memory_and_the_lengths_of_each_are_known_before(model: Path) -> None:
    words = ["serve", "--explain", f"model={model}", "backend=fake", "sequence_length=8",
             "sizes=1+2", "oversubscribe=true"]  # fmt: skip
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert "up to " in shown.stdout
    assert "from " in shown.stdout


def test_express_workers_and_sizes_are_one_or_the_other(model: Path) -> None:
    words = ["serve", f"model={model}", "backend=fake", "sizes=1+2", "oversubscribe=true",
             "express=1", "port=0"]  # fmt: skip
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, UsageError)
    assert refused.exception.hint == "give only one of the two"
