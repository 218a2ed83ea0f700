"""Follow workers: their phases as they begin, until each has answered or ended."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterator, Sequence

from honed.phase import Phase
from honed.workers.channel import Failed, PhaseBegan, Result, read_event
from honed.workers.start import Worker


def follow(
    workers: Sequence[Worker], deadline_s: float, tick: Callable[[], None]
) -> Iterator[tuple[Worker, Phase | None]]:
    """Each phase as it begins, and None when a worker's request is over.

    A request is over when the worker has answered it, has failed, or has ended without a word;
    `worker.outcome` says which. `tick` runs about once a second. The parent sleeps in between: a
    parent that polls takes a core from what it measures.
    Raises TimeoutError at `deadline_s` (monotonic).
    """
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            if worker.outcome is None and worker.exit_code is None:
                selector.register(worker.events, selectors.EVENT_READ, worker)
        while selector.get_map():
            if time.monotonic() > deadline_s:
                raise TimeoutError
            ready = selector.select(timeout=1.0)
            if not ready:
                tick()
            for key, _ in ready:
                worker = key.data
                yield from ((worker, phase) for phase in _read(worker))
                if worker.outcome is not None or worker.exit_code is not None:
                    selector.unregister(worker.events)
                    yield worker, None


def _read(worker: Worker) -> Iterator[Phase]:
    """The phases that one read brings; an outcome or an end is noted in the worker."""
    chunk = worker.events.read(1 << 20)
    if not chunk:
        worker.exit_code = worker.process.wait()
        worker.ended_by_itself = True
        return
    *lines, worker.buffer = (worker.buffer + chunk).split(b"\n")
    for line in lines:
        event = read_event(line, worker.answer)
        if isinstance(event, Result | Failed):
            worker.outcome = event
        elif isinstance(event, PhaseBegan):
            worker.phase = event.phase
            yield event.phase
