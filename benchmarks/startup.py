"""How long do `honed --help` and `honed doctor` take, and how long until the first sample?

python -m benchmarks.startup [RUNS]
"""

from __future__ import annotations

import os
import pty
import re
import statistics
import subprocess
import sys
import time

from benchmarks._common import HONED, honed_run


def command_s(verb: str) -> float:
    began = time.perf_counter()
    subprocess.run([HONED, verb], capture_output=True, check=True)
    return time.perf_counter() - began


def first_sample_s(*words: str) -> float:
    """Seconds from the command until its progress line shows that it measures."""
    reader, writer = pty.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(
        [HONED, "run", *words, "duration_s=0.1", "--store", "sqlite://"],
        stdout=subprocess.DEVNULL,
        stderr=writer,
    )
    os.close(writer)
    found, text = 0.0, b""
    while not found:
        text += os.read(reader, 4096)
        if re.search(rb"measuring \d", text):
            found = time.perf_counter() - began
    process.terminate()
    process.wait()
    return found


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for verb in ("--help", "doctor"):
        times = [command_s(verb) for _ in range(runs)]
        line = f"median {statistics.median(times):.3f} s, max {max(times):.3f} s, n={runs}"
        print(f"honed {verb}: {line}")
    for words in (
        ("model=bert-base-uncased",),
        ("model=bert-base-uncased", "backend=onnxruntime"),
        ("model=bert-base-uncased", "backend=onnxruntime", "precision=int8"),
    ):
        honed_run(*words, "duration_s=0.1")  # its artifacts are cached from here on
        times = [first_sample_s(*words) for _ in range(max(3, runs // 3))]
        line = f"median {statistics.median(times):.2f} s, max {max(times):.2f} s, n={len(times)}"
        print(f"{' '.join(words)}: warm and measuring after {line}")


if __name__ == "__main__":
    main()
