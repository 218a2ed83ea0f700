"""Times, shares, prices and sizes as people type them."""

from __future__ import annotations

import pytest

from honed.errors import UsageError
from honed.units import price, seconds, share, size_bytes


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


@pytest.mark.parametrize(
    ("text", "per_hour", "written"),
    [
        ("4.848/h", 4.848, "4.848/h"),
        ("$0.08/min", 4.8, "$4.8/h"),
        (" 3650 EUR / month ", 5.0, "5 EUR/h"),
        ("USD 24/d", 1.0, "1 USD/h"),
        ("0.001€/s", 3.6, "€3.6/h"),
        ("48/day", 2.0, "2/h"),
        ("4.848", 4.848, "4.848/h"),
    ],
)
def test_prices(text: str, per_hour: float, written: str) -> None:
    found = price(text)
    assert found.per_hour == pytest.approx(per_hour)
    assert str(found) == written


@pytest.mark.parametrize("text", ["", "0/h", "-1/h", "4/week", "$4 EUR/h", "cheap/h"])
def test_no_price(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        price(text)
    assert "4.848/h" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [("16GiB", 16 * 2**30), ("512 MiB", 2**29), ("24GB", 24 * 10**9), ("1.5kib", 1536),
     ("4096B", 4096), ("100B", 100)],
)  # fmt: skip
def test_sizes_of_memory(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GiB", "0", "64", "1.5", "0B", "-1GiB", "16 gallons", "5iB"])
def test_what_is_no_size_of_memory(text: str) -> None:
    with pytest.raises(UsageError, match="size of memory"):
        size_bytes(text)
