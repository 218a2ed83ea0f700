import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.show import numbers


@pytest.mark.parametrize(
    ("value", "ends", "text"),
    [
        (0.05241, (0.05211, 0.05271), "52.41 ±0.30"),
        (0.0524, (0.0490, 0.0540), "52.4 ±3.4"),
        (0.8431, (0.74, 0.93), "843 ±103"),
        (0.05241, None, "52.4"),
        (None, None, numbers.NONE),
        (0.1, (0.1, 0.1), "100.000 ±0.000"),
        (0.00026485, (0.00026355, 0.00026742), "0.2649 ±0.0026"),
    ],
)
def test_the_interval_decides_the_digits(value, ends, text):
    assert numbers.measured(value, ends, 1000) == text


def test_neighbours_take_the_same_digits():
    assert numbers.like(0.0614, 0.05241, (0.05211, 0.05271), 1000) == "61.40"
    assert numbers.like(None, 0.05241, None, 1000) == numbers.NONE
    assert numbers.like(0.0614, 0.05241, None, 1000) == "61.4"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (None, numbers.NONE),
        (0.05243, "0.0524"),
        (52.43, "52.4"),
        (2443.1, "2,443"),
        (-1.234, "-1.23"),
    ],
)
def test_plain(value, text):
    assert numbers.plain(value) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, numbers.NONE), (0, "0.0"), (2**20 * 3 // 2, "1.5"), (2**30 * 2, "2,048")],
)
def test_mib(size, text):
    assert numbers.mib(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, numbers.NONE), (14.21, "14.2 s"), (0.0123, "12.3 ms"), (4.56e-5, "45.6 µs")],
)
def test_seconds(value, text):
    assert numbers.seconds(value) == text


def test_overlap():
    assert numbers.overlap((1, 2), (2, 3))
    assert not numbers.overlap((1, 2), (2.1, 3))
    assert numbers.overlap((1, 9), (2, 3))


@given(st.floats(1e-7, 1e7), st.floats(0, 0.5))
def test_what_is_shown_is_near_what_was_measured(value, share):
    ends = (value * (1 - share), value * (1 + share))
    shown, _, half = numbers.measured(value, ends).partition(" ±")
    assert math.isclose(float(shown.replace(",", "")), value, rel_tol=0.1, abs_tol=1e-4 * value)
    assert math.isclose(
        float(half.replace(",", "")), share * value, rel_tol=0.06, abs_tol=1e-4 * value
    )
