"""A barrier over processes: all begin at one instant, and each knows when all have enough.

It is one small file that the parent makes and every process maps. A barrier is used once.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

from honed.errors import HonedError
from honed.files import held
from honed.instruments.clock import now_ns

_HEADER = 16  # start_ns and the number of parties, int64 each; then `arrived`, then `done` bytes
_LEAD_NS = 20_000_000  # 20 ms: forty naps, so that every sleeper has seen the start time by then
_NAP_S = 0.0005
_SPIN_NS = 100_000  # the last tenth of a millisecond is spun: a sleeper wakes that much late


class BarrierError(HonedError):
    """Other parties did not come in time."""

    status = "timeout"


class Barrier:
    """The file as one party sees it; the parent is no party and has no `index`."""

    def __init__(self, path: Path, index: int | None) -> None:
        self._file = open(path, "r+b")  # noqa: SIM115  (held for the lock, closed by close())
        self._map = mmap.mmap(self._file.fileno(), 0)
        # One aligned int64 is stored whole: no reader sees half a start time.
        self._header = memoryview(self._map)[:_HEADER].cast("q")
        self.parties = self._header[1]
        self._done_at = _HEADER + self.parties
        self.index = index

    @classmethod
    def create(cls, path: str | os.PathLike[str], parties: int) -> Barrier:
        """The parent creates the file before any party opens it."""
        if parties < 1:
            raise ValueError("a barrier needs a party")
        blank = bytearray(_HEADER + 2 * parties)
        memoryview(blank)[:_HEADER].cast("q")[1] = parties
        Path(path).write_bytes(blank)
        return cls(Path(path), None)

    @classmethod
    def open(cls, path: str | os.PathLike[str], index: int) -> Barrier:
        """Party `index` opens the file, once per process."""
        barrier = cls(Path(path), index)
        if not 0 <= index < barrier.parties:
            barrier.close()
            raise ValueError(f"party {index} of {barrier.parties}")
        return barrier

    def arrive_and_wait(self, timeout_s: float) -> int:
        """Return at the common start, in nanoseconds of the clock; BarrierError if it never comes.

        Nobody waits for a party that has died: the parent ends all workers when one dies.
        """
        deadline = now_ns() + int(timeout_s * 1e9)
        with held(self._file.fileno()):  # so that exactly one party is the last
            self._map[_HEADER + self._own()] = 1
            if not self._header[0] and self.all_arrived():
                self._header[0] = now_ns() + _LEAD_NS
        while not (start := self._header[0]):
            if now_ns() > deadline:
                missing = self._map[_HEADER : self._done_at].count(0)
                raise BarrierError(
                    f"{missing} of {self.parties} instances were not ready in {timeout_s:g} s",
                    "raise timeout_s, or use fewer instances",
                )
            time.sleep(_NAP_S)
        while (left := start - now_ns()) > 0:
            if left > _SPIN_NS:
                time.sleep(min(_NAP_S, (left - _SPIN_NS) / 1e9))
        return start

    def done(self) -> None:
        """This party has enough calls; it may go on, so that the others stay under load."""
        self._map[self._done_at + self._own()] = 1

    def all_done(self) -> bool:
        """Whether every party has enough calls; polled inside the timed loop."""
        return self._map.find(b"\0", self._done_at) < 0

    def all_arrived(self) -> bool:
        """Whether every party has arrived."""
        return self._map.find(b"\0", _HEADER, self._done_at) < 0

    def close(self) -> None:
        self._header.release()
        self._map.close()
        self._file.close()

    def __enter__(self) -> Barrier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _own(self) -> int:
        if self.index is None:
            raise ValueError("the parent's view of a barrier is no party")
        return self.index
