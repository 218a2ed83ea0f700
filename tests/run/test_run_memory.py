"""The memory pass calls the largest feed, whatever an engine's feeds are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.run.passes import memory

SMALL, LARGE = np.zeros((2, 3)), np.zeros((2, 3, 4))


@pytest.mark.parametrize(
    "feed",
    [LARGE, (SMALL, LARGE), {"ids": LARGE, "mask": SMALL}, (SMALL, {"mean": SMALL, "max": LARGE})],
)
def test_a_feed_is_as_large_as_the_largest_array_in_it(feed: Any) -> None:
    assert memory._elements(feed) == 24


def test_a_feed_without_arrays_is_the_smallest() -> None:
    assert memory._elements(()) == 0
