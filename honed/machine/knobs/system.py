"""Settings of the whole machine: changed only with permission, restored however the run ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, Value
from honed.machine.knobs import pages

_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def _writable() -> Availability:
    if pages.system_mode() is None:
        return Availability(False, "this kernel has no huge pages", "use a kernel with THP")
    if not os.access(_THP, os.W_OK):
        return Availability(False, f"{_THP} may not be written", "run honed as root")
    return AVAILABLE


THP_SYSTEM = Knob(
    "thp_system",
    "the whole machine's huge-page mode while a case runs (with --allow-system-changes)",
    ("always", "madvise", "never"), "system", available=_writable, read_back=pages.system_mode,
)  # fmt: skip
KNOBS = (THP_SYSTEM,)


@contextlib.contextmanager
def changed(knobs: Mapping[str, Value], *, allowed: bool, path: Path = _THP) -> Iterator[None]:
    """Change the machine for the time of the block; restore it also after an error or a signal.

    Raises UnsupportedError if the change is not `allowed`, or if the kernel refuses it.
    """
    mode = knobs.get(THP_SYSTEM.name)
    before = pages.system_mode(path.parent)
    if mode is None or mode == before:
        yield
        return
    if not allowed:
        raise UnsupportedError(
            f"thp_system={mode} changes the whole machine (it is {before})",
            "add --allow-system-changes; the old value is restored afterwards",
        )
    with _terminable():
        try:
            _write(path, str(mode))
            yield
        finally:
            _write(path, str(before))


def _write(path: Path, mode: str) -> None:
    try:
        path.write_text(mode)
    except OSError as error:
        raise UnsupportedError(
            f"cannot write {mode} to {path}: {error.strerror}", "run honed as root"
        ) from error


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turns SIGTERM and SIGHUP into an exception, so that `finally` blocks run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) == signal.SIG_DFL]
    for number in signals:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)


def _raise(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
