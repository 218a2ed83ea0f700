"""The worker of a run: jobs in a process of its own. Needs honed, numpy and the engine alone.

Run as `python -P -m honed.run.worker`; see honed.workers.process for its life.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from honed.backends.base import memory_words
from honed.errors import HonedError, OutOfMemoryError
from honed.run.job import Job
from honed.workers.failure import brief
from honed.workers.process import Desk, answer_requests


def answer(job: Job, desk: Desk) -> Any:
    """Do the job. When an allocation fails, engines raise RuntimeError, not MemoryError."""
    work: Callable[[Job, Desk], Any] = importlib.import_module(f"honed.run.{job.kind}").work
    try:
        return work(job, desk)
    except HonedError:
        raise
    except Exception as error:
        if any(words in str(error).lower() for words in memory_words(job.case.backend)):
            hint = "use a smaller batch_size or sequence_length, or fewer instances"
            raise OutOfMemoryError(brief(error), hint) from error
        raise


if __name__ == "__main__":
    answer_requests(Job, answer)
