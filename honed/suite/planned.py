"""A Lab that plans each Case first. What will not fit into memory is recorded and not tried."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from honed.case import Case
from honed.errors import HonedError, OutOfMemoryError
from honed.machine import limits
from honed.phase import OnPhase, Phase, ignore_phase
from honed.plan.of_case import Expected, Planners
from honed.record import Record
from honed.run.lab import Lab

# What a worker takes beside tensors, with some room: the interpreter with torch and transformers,
# and what kernels take for themselves.
PROCESS_BYTES = 3 * 2**28
_GIB = 2**30


@dataclass(slots=True)
class PlannedLab:
    """Measures by `lab` what fits, and has the rest recorded as `oom` before anything is made."""

    lab: Lab
    planners: Planners = field(default_factory=Planners)

    def clock_s(self) -> float:
        return self.lab.clock_s()

    def alone(self) -> AbstractContextManager[None]:
        return self.lab.alone()

    def record(self, id: str) -> Record | None:
        return self.lab.record(id)

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        on_phase(Phase.PLANNING)
        refusal = self.refusal(case)

        def checked(phase: Phase | None) -> None:
            if refusal is not None:  # ends the measurement, whose Record then has this status
                raise refusal
            on_phase(phase)

        return self.lab.measure(case, sweep, checked)

    def refusal(self, case: Case) -> OutOfMemoryError | None:
        """Why the Case is not tried; None if it fits, or if no plan knows it."""
        expected, free = self.expected(case), limits.free_bytes()
        if expected is None or free is None or case.device != "cpu":
            return None
        needed = expected.most_bytes + PROCESS_BYTES
        if needed <= free:
            return None
        return OutOfMemoryError(
            f"by its plan it takes {expected.most_bytes / _GIB:,.1f} GiB of tensors and "
            f"{PROCESS_BYTES / _GIB:,.2f} GiB beside them, and {free / _GIB:,.1f} GiB are free: "
            "it was not tried",
            "a smaller model, batch_size or sequence_length, or until=forward",
        )

    def expected(self, case: Case) -> Expected | None:
        """The plan of the Case; None where there is none."""
        with suppress(HonedError):  # a wrong model is reported when the Case runs
            return self.planners.expect(case)
        return None
