"""Guard: ends a trial that cannot win any more, or for which no time is left."""

from __future__ import annotations

import math
from collections.abc import Callable

from honed.errors import HonedError
from honed.phase import Phase


class Abandoned(HonedError):  # noqa: N818 - an outcome, not a fault
    """A trial that cannot win any more, or for which no time is left."""

    status = "timeout"


class Guard:
    """Called with the phases of a trial; raises Abandoned to end it.

    At `deadline_s` on the clock the study's time is up. `timed_s` limits warming up and measuring
    together (None: no limit), `whole_s` the whole trial with its exports.
    """

    def __init__(
        self,
        clock_s: Callable[[], float],
        deadline_s: float,
        timed_s: float | None = None,
        whole_s: float = math.inf,
    ) -> None:
        self._clock_s = clock_s
        self._ends_s = clock_s() + whole_s
        self._deadline_s = deadline_s
        self._timed_s = timed_s
        self._timing_since_s: float | None = None
        self.time_was_up = False

    def __call__(self, phase: Phase | None) -> None:
        """A new phase, or None for another second of the present one."""
        now_s = self._clock_s()
        if phase is not None and not phase.is_timed:
            self._timing_since_s = None
        elif phase is not None and self._timing_since_s is None:
            self._timing_since_s = now_s
        if now_s > self._deadline_s:
            self.time_was_up = True
            raise Abandoned("the study's time was up", "a longer budget=")
        if now_s > self._ends_s:
            raise Abandoned("it took a third of the search without a result", "a longer budget=")
        since_s = self._timing_since_s
        if self._timed_s is not None and since_s is not None and now_s - since_s > self._timed_s:
            raise Abandoned(f"it cannot win: it had been timed for {now_s - since_s:.0f} s")
