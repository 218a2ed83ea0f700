"""Threads that compute one forward pass together, each its share of the columns and heads.

numpy computes its elementwise passes on one thread, and releases Python's lock while it does. So
the threads are honed's, and each calls the BLAS on one thread: all of a pass is then shared out,
and no thread of a BLAS waits for work on a core that another thread needs.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable


class Team:
    """`size` threads, of which the caller of `run` is the first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._work: Callable[[int], None] | None = None
        self._error: BaseException | None = None
        self._start()

    def run(self, work: Callable[[int], None]) -> None:
        """Call work(index) on every thread. The first error of any thread is raised when all have
        ended; a thread that waits in `meet` ends at once."""
        # Ctrl-C came while the run before waited for the threads, or this is a fork, without them.
        if self._begin.broken or self._process != os.getpid():
            self._join()
            self._start()
        self._work = work
        try:
            self._begin.wait()
            self._do(work, 0)
            self._end.wait()
        except BaseException:
            for barrier in (self._begin, self._middle, self._end):
                barrier.abort()  # the threads would wait at them for ever
            raise
        if self._error is not None:
            error, self._error = self._error, None
            self._middle.reset()
            raise error

    def meet(self) -> None:
        """Wait until every thread has come to this point."""
        self._middle.wait()

    def share(self, count: int, index: int, grain: int = 1) -> range:
        """The part of range(count) that is the thread's: all parts are of `grain` numbers or a
        multiple, except where `count` ends."""
        grains = -(-count // grain)
        first, last = (grains * place // self.size * grain for place in (index, index + 1))
        return range(min(first, count), min(last, count))

    def close(self) -> None:
        """End the threads."""
        self._work = None
        if self._process == os.getpid():
            with contextlib.suppress(threading.BrokenBarrierError):
                self._begin.wait()
        self._join()

    def _start(self) -> None:
        self._begin, self._end = threading.Barrier(self.size), threading.Barrier(self.size)
        self._middle = threading.Barrier(self.size)
        self._error = None
        self._process = os.getpid()
        self._others = [
            threading.Thread(target=self._follow, args=(index,), daemon=True)
            for index in range(1, self.size)
        ]
        for thread in self._others:
            thread.start()

    def _join(self) -> None:
        for thread in self._others:
            thread.join()

    def _follow(self, index: int) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):  # the run was interrupted
            while True:
                self._begin.wait()
                if self._work is None:
                    return
                self._do(self._work, index)
                self._end.wait()

    def _do(self, work: Callable[[int], None], index: int) -> None:
        try:
            work(index)
        except threading.BrokenBarrierError:
            return  # another thread failed, and its error is raised
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            self._error = self._error or error
            self._middle.abort()
