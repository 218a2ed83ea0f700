"""How small is the whole process of lowmem.engine=small?

    python -m benchmarks.lowmem_small [--model MODEL] [--limit 96MiB] [--quick]

1. One run of honed. The largest VmHWM of the worker, which counts all that the process ever held,
   is watched from outside. The outputs are compared with torch's.
2. The same run with the worker inside a memory cgroup, whose limit also counts the pages of files
   that the process reads. Before it, the weights are dropped from the page cache. The group cannot
   keep them either, so each call reads them from the disk: int8 weights are a quarter of that.
   Making a cgroup needs root; without it this part says so.

It takes three minutes. `python -m benchmarks.lowmem --only small` compares the speed with plain
torch's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._common import honed_run
from honed import artifacts
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import materialise
from honed.units import size_bytes

MIB = 2**20
_SMALL = ("backend=lowmem", "lowmem.engine=small")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bert-base-multilingual-1024")
    parser.add_argument("--limit", default="96MiB", help="of the memory cgroup")
    parser.add_argument("--quick", action="store_true", help="a small model: does it run?")
    asked = parser.parse_args()
    model = "minilm" if asked.quick else asked.model
    length = 64 if asked.quick else 512
    words = (f"model={model}", f"sequence_length={length}", "batch_size=1", "duration_s=5",
             "min_samples=3", "warmup_s=5")  # fmt: skip
    folder = materialise(ModelRequest(model)).folder
    honed_run(*words, *_SMALL)  # inputs and reference are made, and stay in the cache
    _process(words)
    _cgroup(words, folder, size_bytes(asked.limit))
    honed_run(*words, *_SMALL, "precision=int8")  # the weights are converted outside the group
    _cgroup((*words, "precision=int8"), _newest_export(), size_bytes(asked.limit))


def _process(words: tuple[str, ...]) -> None:
    with _watched() as peaks:
        record = honed_run(*words, *_SMALL)
    peak = max(peaks.values())
    memory, fidelity = record["memory"], record["fidelity"]
    print(
        f"whole worker: {peak / MIB:.1f} MiB at its peak (VmHWM), "
        f"idle {memory['baseline_bytes'] / MIB:.1f} MiB; arrays "
        f"{memory['tensor_peak_bytes'] / MIB:.1f} "
        f"MiB; cosine to torch {fidelity['cosine_min']:.7f}, largest difference "
        f"{fidelity['max_abs_diff']:.1e}",
        flush=True,
    )


@contextlib.contextmanager
def _watched() -> Iterator[dict[str, int]]:
    """The largest VmHWM in bytes of every worker that is started in the block, by process. The
    worker itself resets the mark, so it is read every 50 ms."""
    peaks: dict[str, int] = {}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            for process in Path("/proc").iterdir():
                if process.name.isdigit() and (peak := _worker_peak(process)):
                    peaks[process.name] = max(peaks.get(process.name, 0), peak)

    before = {p.name for p in Path("/proc").iterdir()}
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()
        for name in before & set(peaks):  # somebody else's
            del peaks[name]


def _worker_peak(process: Path) -> int | None:
    """VmHWM in bytes of a worker of the run that this process started; None for any other."""
    try:
        if b"honed.run.worker" not in (process / "cmdline").read_bytes():
            return None
        status = dict(
            line.split(":", 1) for line in (process / "status").read_text().splitlines() if line
        )
        parent = (Path("/proc") / status["PPid"].strip() / "status").read_text()
        if f"PPid:\t{os.getpid()}\n" not in parent:
            return None
        return int(status["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # it has ended
        return None


def _cgroup(words: tuple[str, ...], folder: Path, limit: int) -> None:
    try:
        with _group(limit) as (python, group):
            cached = _drop(folder)
            record = honed_run(*words, *_SMALL, f"python={python}")
            peak = group.peak_bytes()
    except OSError as error:
        print(f"no memory cgroup can be made here: {error}")
        return
    metrics = record["metrics"]
    print(
        f"{record['case']['precision']} inside a memory cgroup of {limit / MIB:.0f} MiB with "
        f"{cached / MIB:.0f} MiB of the weights in the page cache: {record['status']}, the group "
        f"held {peak / MIB:.1f} MiB at "
        f"most; first call {metrics['first_call_s']:.2f} s, then "
        f"{metrics['latency_s']['p50']:.2f} s",
        flush=True,
    )


class Group:
    """A memory cgroup of version 1 or 2 with a limit."""

    def __init__(self, limit: int) -> None:
        root = Path("/sys/fs/cgroup")
        self._first = (root / "memory" / "memory.limit_in_bytes").exists()
        self.folder = (root / "memory" if self._first else root) / f"honed-{os.getpid()}"
        self.folder.mkdir()
        name = "memory.limit_in_bytes" if self._first else "memory.max"
        (self.folder / name).write_text(str(limit))

    def peak_bytes(self) -> int:
        name = "memory.max_usage_in_bytes" if self._first else "memory.peak"
        return int((self.folder / name).read_text())

    def remove(self) -> None:
        for _ in range(50):  # until the last process is gone
            try:
                self.folder.rmdir()
                return
            except OSError:
                time.sleep(0.1)


@contextlib.contextmanager
def _group(limit: int) -> Iterator[tuple[Path, Group]]:
    """A group, and an interpreter that is this one inside the group."""
    group = Group(limit)
    try:
        with tempfile.TemporaryDirectory() as folder:
            python = Path(folder) / "python"
            enter = f"echo $$ > {group.folder / 'cgroup.procs'}"
            python.write_text(f'#!/bin/sh\n{enter} && exec {sys.executable} "$@"\n')
            python.chmod(python.stat().st_mode | stat.S_IXUSR)
            yield python, group
    finally:
        group.remove()


def _newest_export() -> Path:
    files = (artifacts.root() / "export").glob("*/model.safetensors")
    return max(files, key=lambda path: path.stat().st_mtime).parent


def _drop(folder: Path) -> int:
    """Drop the weights from the page cache; the bytes of them that are still there."""
    left = 0
    for path in folder.glob("*.safetensors"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        told = subprocess.run(
            ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        left += int(told.stdout)
    return left


if __name__ == "__main__":
    main()
