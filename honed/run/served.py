"""ServedLab: measures Cases behind HTTP. A server is started with each, and clients ask it.

The record has the Case of the server, with `workload=clients`: what its clients saw.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO

from honed.case import CORE_FIELDS, Case
from honed.errors import HonedError, UsageError
from honed.knob import Value
from honed.knobs import belongs, filled_in
from honed.phase import OnPhase, Phase, ignore_phase
from honed.record import Record
from honed.run import merge
from honed.run.lab import LocalLab
from honed.run.parent import InterruptedRun, measure
from honed.store import Store
from honed.values import as_override
from honed.workers import failure
from honed.workers.channel import Failed

_WORKLOAD = "clients"
_LEAST_S = 4.0  # of asking: engines plan each shape of a batch when they first meet it
_STOP_S = 30.0
_READY = re.compile(r" at (http://\S+) \(ready")
_TOLD = re.compile(r"^(?:error|honed): ", re.MULTILINE)
# Keys that only say how a Case is measured, or what clients send.
_NOT_SERVED = frozenset(
    ("duration_s", "min_samples", "warmup_s", "memory", "passes", "eval", "eval_metric",
     "max_accuracy_drop", "lengths", "batches", "batch_size", "total_batch", "workload")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clients:
    """How many clients ask at once, one text a request, and within which time an answer counts."""

    count: int
    limit_ms: int


class ServedLab(LocalLab):
    """A LocalLab whose Cases are servers."""

    def __init__(
        self, store: Store, clients: Clients, on_wait: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(store, on_wait)
        self.clients = clients

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        began_s = time.monotonic()
        try:
            with _server(case, on_phase) as url:
                record = self._of_server(case, measure(self._asking(case, url), on_phase))
        except UsageError:
            raise
        except HonedError as error:
            record = merge.failure(case, failure.of_exception(error))
        except InterruptedRun as interrupted:
            record = self._of_server(case, interrupted.record)
            self.keep(record, sweep)
            raise InterruptedRun(record) from None
        except KeyboardInterrupt:
            stopped = Failed("interrupted", "Interrupted", "stopped by the user")
            record = merge.failure(case, stopped)
            self.keep(record, sweep)
            raise InterruptedRun(record) from None
        record = replace(record, elapsed_s=time.monotonic() - began_s)
        self.keep(record, sweep)
        return record

    def _asking(self, case: Case, url: str) -> Case:
        """The Case of the clients: the same model and texts, over HTTP."""
        foreign = (key for key in case.knobs if not belongs(key, "http", _WORKLOAD))
        knobs: dict[str, Value | None] = dict.fromkeys(foreign)
        return case.replace(
            backend="http", workload=_WORKLOAD, passes=None, batch_size=1, total_batch=None,
            instances=1, threads=None, sizes=None, memory=False, python=None, batches=None,
            duration_s=max(case.duration_s, _LEAST_S),
            knobs=knobs | {"http.url": url} | self._load,
        )  # fmt: skip

    @property
    def _load(self) -> dict[str, Value]:
        return {"clients.count": self.clients.count, "clients.limit_ms": self.clients.limit_ms}

    def _of_server(self, case: Case, record: Record) -> Record:
        """What the clients saw, as a record of the server's Case."""
        asked = filled_in(case) | {"workload": _WORKLOAD, "batch_size": 1, **self._load}
        return replace(record, case=asked)


def server_words(case: Case) -> list[str]:
    """The words of `honed serve` for this Case."""
    defaults = {field.name: field.default for field in CORE_FIELDS}
    workload = Case(model=case.model).workload
    return [
        f"{key}={as_override(value)}"
        for key, value in case.to_json().items()
        if value is not None and defaults.get(key) != value and key not in _NOT_SERVED
        and (key in defaults or belongs(key, case.backend, workload))
    ]  # fmt: skip


@contextlib.contextmanager
def _server(case: Case, on_phase: OnPhase) -> Iterator[str]:
    """The address of a server of this Case, which ends with the block."""
    program = "from honed.cli import main; main()"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program, "serve", *server_words(case), "port=0"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield _ready(process, log, case.timeout_s, on_phase)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _ready(
    process: subprocess.Popen[bytes], log: IO[str], timeout_s: float, on_phase: OnPhase
) -> str:
    """The address, when the server says that it is ready. Raises HonedError if it is not."""
    end_s, told_s = time.monotonic() + timeout_s, 0.0
    while True:
        if time.monotonic() - told_s > 1:
            on_phase(Phase.LOADING)
            told_s = time.monotonic()
        log.seek(0)
        said = log.read()
        if found := _READY.search(said):
            return found[1]
        if process.poll() is not None:
            why = _TOLD.split(said)[-1].strip() or f"exit code {process.returncode}"
            raise HonedError(f"the server did not start: {why}", "honed serve with these words")
        if time.monotonic() > end_s:
            raise HonedError(f"the server was not ready within {timeout_s:g} s", "timeout_s=...")
        time.sleep(0.05)
