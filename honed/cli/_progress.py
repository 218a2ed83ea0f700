"""One live line on stderr: the current Case, its phase, and the time left.

The line is drawn without a library and at most once a second: while workers measure, this process
must sleep, and a full-screen renderer takes milliseconds of a core that the workers use.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from honed.run.sweep import SweepProgress


class Line:
    """Draws the progress of a sweep; without a terminal, one plain line for each Case."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._heading = ""

    def __call__(self, at: SweepProgress) -> None:
        left = f" · {duration(at.left_s)} left" if at.left_s is not None else ""
        phase_s = duration(time.monotonic() - at.phase_began_s)
        self.show(f"[{at.index}/{at.total}] {at.label}", f"{at.phase} {phase_s}{left}")

    def show(self, head: str, tail: str) -> None:
        """Without a terminal, print each heading once and no progress updates."""
        if not self._live:
            if head != self._heading:
                self._heading = head
                print(head, file=sys.stderr, flush=True)
            return
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{f'{head} · {tail}'[:width]}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def duration(seconds: float) -> str:
    """`7 s`, `3 min 20 s`, `1 h 5 min`: two units at most."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
