"""Times and shares as people type them."""

from __future__ import annotations

import pytest

from honed.errors import UsageError
from honed.quantities import seconds, share


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("9m", 540), ("1.5h", 5400), ("10", 10), ("2 min", 120)]
)
def test_times(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(("text", "value"), [("2%", 0.02), ("0.5 %", 0.005), ("0.1", 0.1)])
def test_shares(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "soon", "-3s", "0", "3d"])
def test_no_time(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text)


@pytest.mark.parametrize("text", ["", "200%", "0", "some", "1.5"])
def test_no_share(text: str) -> None:
    with pytest.raises(UsageError):
        share(text)
