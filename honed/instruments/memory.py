"""Resident memory of this process, as the kernel counts it.

The kernel batches these counters per cpu, so that a reading may be off by up to a batch (32 pages
or more) times the cpus: about 1 MiB on a small machine.
`ru_maxrss` is not used: a child inherits it from its parent through exec, and it has no reset.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

_SELF = Path("/proc/self")
_FIELDS = ("VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem")


@dataclass(frozen=True, slots=True)
class Resident:
    """Bytes resident now, by kind, and the most ever (`peak_bytes`) since the last reset."""

    peak_bytes: int
    rss_bytes: int
    anon_bytes: int
    file_bytes: int
    shmem_bytes: int


def reset_peak() -> None:
    """Set the peak to what is resident now; OSError where /proc may not be written."""
    (_SELF / "clear_refs").write_text("5")  # 5 resets VmHWM and touches nothing else: man proc


def status() -> Resident:
    """The counters of /proc/self/status, now."""
    sizes = dict.fromkeys(_FIELDS, 0)
    for line in (_SELF / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in sizes:
            sizes[name] = int(value.split()[0]) * 1024
    return Resident(*(sizes[name] for name in _FIELDS))


def pss_bytes(pid: int | None = None) -> int | None:
    """Resident bytes, where a page that n processes share counts 1/n; None if not readable."""
    path = Path("/proc") / str(os.getpid() if pid is None else pid) / "smaps_rollup"
    try:
        lines = path.read_text().splitlines()
    except OSError:  # gone, or another user's
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")]
    return sizes[0] if sizes else None


class ResidentPeak:
    """The most memory that was resident while the block ran; read it after the block.

    The kernel keeps one high-water mark, of the total; the kinds are computed from it. At the
    moment of the peak no more than `file_bytes` and `shmem_bytes` of it can have been file and
    shared pages, so the rest was anonymous. That is exact as long as file pages do not shrink
    within the block (a file that is mapped, read and unmapped inside it would pass for
    anonymous); the sampler thread sees most of those.
    Where the mark cannot be reset, every number is None and `note` says why.
    """

    def __init__(self, sample_every_s: float | None = 0.005) -> None:
        self.total_bytes: int | None = None
        self.anon_bytes: int | None = None
        self.file_bytes: int | None = None
        self.shmem_bytes: int | None = None
        self.note = ""
        self._every_s = sample_every_s
        self._seen: Resident | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ResidentPeak:
        try:
            reset_peak()
        except OSError as error:
            self.note = f"peak memory not measured: {_SELF}/clear_refs: {error.strerror}"
            return self
        self._look()
        if self._every_s is not None:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self.note:
            return
        self._look()
        if (seen := self._seen) is not None:
            self.total_bytes = seen.peak_bytes
            self.file_bytes = seen.file_bytes
            self.shmem_bytes = seen.shmem_bytes
            rest = seen.peak_bytes - seen.file_bytes - seen.shmem_bytes
            self.anon_bytes = max(seen.anon_bytes, rest)

    def _sample(self) -> None:
        while not self._stop.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        """The largest of each kind so far."""
        now, seen = status(), self._seen or Resident(0, 0, 0, 0, 0)
        self._seen = Resident(
            max(now.peak_bytes, now.rss_bytes, seen.peak_bytes),
            max(now.rss_bytes, seen.rss_bytes),
            max(now.anon_bytes, seen.anon_bytes),
            max(now.file_bytes, seen.file_bytes),
            max(now.shmem_bytes, seen.shmem_bytes),
        )
