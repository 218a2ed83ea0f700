"""Phases on a GPU: synchronised boundaries, and ranges for NVIDIA's profilers. Without a GPU here,
torch.cuda is replaced by a recorder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from honed.backends.torch import phases

pytestmark = pytest.mark.engine


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    import torch

    calls: list[str] = []

    @contextlib.contextmanager
    def as_range(name: str) -> Iterator[None]:
        calls.append(f"> {name}")
        yield
        calls.append(f"< {name}")

    monkeypatch.setattr(torch.cuda.nvtx, "range", as_range)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append("synchronize"))
    return calls


def test_each_phase_is_a_range_that_ends_after_the_device_has_finished(heard: list[str]) -> None:
    clock = phases.PhaseClock("cuda")
    for name in ("forward", "backward"):
        with clock.phase(name):
            heard.append("work")
    assert heard == [
        "> honed.forward", "work", "synchronize", "< honed.forward",
        "> honed.backward", "work", "synchronize", "< honed.backward",
    ]  # fmt: skip
    assert set(clock.taken_ns) == {"forward", "backward"}


def test_a_cpu_has_no_ranges(heard: list[str]) -> None:
    with phases.PhaseClock("cpu").phase("forward"):
        pass
    assert heard == []
