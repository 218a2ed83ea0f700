"""One clock for every process of the machine."""

from __future__ import annotations

import time

# CLOCK_MONOTONIC: the same count in every process of the machine, and no step when the wall clock
# is set. The function itself, not a wrapper: a Python frame would add to every timed call.
now_ns = time.monotonic_ns
