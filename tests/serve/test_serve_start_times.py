"""The parts of a start add up to the whole."""

from __future__ import annotations

import re

import pytest
from served import Server

from honed.serve import start_times
from honed.serve.start_times import StartTimes


def test_the_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    times = StartTimes()
    now_s = [1e6]
    monkeypatch.setattr(start_times.time, "monotonic", lambda: now_s[0])
    for part, lasts_s in (("loading", 2.0), ("proving", 0.01), ("loading", 1.0)):
        times.begin(part)
        now_s[0] += lasts_s
    times.end()
    times.begin("a worker that is started again")
    found = times.parts()
    assert list(found) == ["starting", "loading", "proving"]
    assert found["loading"] == pytest.approx(3.0)
    assert sum(found.values()) == pytest.approx(times.seconds)
    assert "loading 3.0" in str(times)
    assert "proving" not in str(times)


def test_a_server_says_where_its_start_went(server: Server) -> None:
    found = re.search(r"\(ready after ([0-9.]+) s: (.+)\)", server.output())
    assert found
    parts = [float(part.rpartition(" ")[2]) for part in found[2].split(", ")]
    assert sum(parts) == pytest.approx(float(found[1]), abs=0.05 * (len(parts) + 6))
