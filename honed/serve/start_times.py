"""Where the seconds of a server's start go, from the start of its process until it is ready."""

from __future__ import annotations

import os
import time
from pathlib import Path

from honed.machine import proc

_LEAST_S = 0.05  # shorter parts are not worth a word


class StartTimes:
    """The parts of a start, one after the other; a part that begins ends the one before it."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, float]] = [("starting", time.monotonic() - _age_s())]
        self._ended_s: float | None = None

    def begin(self, part: str) -> None:
        """Nothing after the end: workers that are started again are not part of the start."""
        if self._ended_s is None:
            self._parts.append((part, time.monotonic()))

    def end(self) -> None:
        self._ended_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """The whole start."""
        assert self._ended_s is not None, "a start is ended first"
        return self._ended_s - self._parts[0][1]

    def parts(self) -> dict[str, float]:
        """The seconds of each part, in their order; parts of one name together."""
        assert self._ended_s is not None, "a start is ended first"
        ends = [began_s for _, began_s in self._parts[1:]] + [self._ended_s]
        found: dict[str, float] = {}
        for (part, began_s), end_s in zip(self._parts, ends, strict=True):
            found[part] = found.get(part, 0.0) + end_s - began_s
        return found

    def __str__(self) -> str:
        long = (f"{part} {took:.1f}" for part, took in self.parts().items() if took >= _LEAST_S)
        return f"ready after {self.seconds:.1f} s: {', '.join(long)}"


def _age_s() -> float:
    """How long ago this process was started, as the kernel says (proc(5)); 0 where it does not."""
    fields = proc.read_text(Path("/proc/self/stat")).rpartition(")")[2].split()
    if len(fields) < 20:
        return 0.0
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # since boot
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
