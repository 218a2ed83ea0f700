"""The constants of an experiment, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from honed.case import CORE_FIELDS, Case
from honed.statistics.additive import Noise

_DEFAULTS = {f.name: f.default for f in CORE_FIELDS}


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a process lasts, when a side falls out of a race, what counts as drift.

    *Length of a process.* Starting a process costs seconds, a call costs milliseconds, and
    processes differ more than calls: many short processes beat few long ones. With 3 s per start
    and noise between calls of 1.5 times the noise between processes, the best length is 10 calls
    of a 150 ms step (Kalibera & Jones 2013, section 6).
    """

    duration_s: float = 0.7
    min_samples: int = 10
    warmup_s: float = 3.0

    # A process that exported its model first is measured again. An engine that exports in every
    # process would be measured for ever, so the fourth process counts as it is.
    most_redraws: int = 3

    # A side leaves a race when it is this many standard errors behind the best, but not before
    # two blocks (one block and its mirror). More than 20 blocks would separate sides that differ
    # by hundredths.
    behind_errors: float = 2.0
    least_race_blocks: int = 2
    most_race_blocks: int = 20

    # The least noise of one process, as a logarithm: a few processes that happen to agree say
    # nothing about the next one.
    least_noise: float = 0.01
    # Processes of one Case differ by about 5 % on a small shared machine (docs/comparing.md). This
    # is assumed as far as fewer than 6 degrees of freedom have been measured: Student's t with one
    # or two degrees is so wide that nothing could be said of two blocks.
    usual_noise: float = 0.05
    noise_degrees: int = 6

    # A 99th percentile needs 100 calls: one of them then lies beyond it.
    percentile_calls: int = 100

    # The sentinel's speed is doubtful when it changed by 5 % between the fastest and the slowest
    # third of the experiment, or when it was 1 % slower (p < 0.01) around one side's processes.
    drift_limit: float = 0.05
    side_drift_limit: float = 0.01
    side_drift_p: float = 0.01

    @property
    def noise(self) -> Noise:
        return Noise(self.usual_noise, self.noise_degrees, self.least_noise)

    def short(self, case: Case) -> Case:
        """The Case with a short process and without the memory pass. A length that differs from
        the Case's default was set by the user and stays."""
        lengths: dict[str, Any] = {
            "duration_s": self.duration_s,
            "min_samples": self.min_samples,
            "warmup_s": self.warmup_s,
        }
        unset = {key: value for key, value in lengths.items() if case.get(key) == _DEFAULTS[key]}
        return case.replace(memory=False, **unset)


COMPARE = Policy()
# A search tries many settings once and the confirmation measures the good ones again, so that its
# processes may be a little shorter: at least 8 calls, at most 2 s of warming up.
SEARCH = Policy(min_samples=8, warmup_s=2.0)
# `honed scale` measures a dozen settings in under ten minutes: enough calls for a median.
SCALE = Policy(duration_s=0.5, min_samples=5, warmup_s=1.0)
