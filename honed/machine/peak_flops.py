"""An upper bound for the FLOP/s of given cores: a measured fp32 product, scaled by the ISA.

`python -m honed.machine.peak_flops --cpus 0-3 [--seconds 0.5]` measures the product and prints it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from honed import artifacts
from honed.machine import thread_variables
from honed.machine.facts import fingerprint
from honed.machine.isa import isa_ratio
from honed.machine.topology import format_cpus, parse_cpus

_SECONDS = 0.5
_TIMEOUT_S = 60.0
_SIDE = 1024  # one core's product: 2 GFLOP, 12 MiB
_LARGEST_SIDE = 8192


def bound_flops_per_s(
    precision: str, cpus: Collection[int], facts: Mapping[str, Any]
) -> float | None:
    """The upper bound for `precision` on `cpus`; None where it cannot be measured.

    The first call measures for about a second in another process, so nothing may be timed
    meanwhile. The result is cached by hardware, CPUs and numpy version.
    """
    measured = fp32_flops_per_s(cpus, facts)
    return None if measured is None else measured * isa_ratio(precision, facts.get("flags", ()))


def fp32_flops_per_s(cpus: Collection[int], facts: Mapping[str, Any]) -> float | None:
    """FLOP/s of the fp32 matrix product, measured now or read from the cache."""
    try:
        numpy_version = version("numpy")
    except PackageNotFoundError:
        return None
    if not cpus:
        return None
    quota = facts.get("limits", {}).get("quota")
    about = {"hardware": fingerprint(facts), "cpus": format_cpus(cpus),
             "quota": quota, "numpy": numpy_version}  # fmt: skip
    try:
        folder = artifacts.make("bound", about, lambda path: _measure_into(path, cpus))
        return float(json.loads((folder / "bound.json").read_text())["fp32_flops_per_s"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None  # a record without the bound is better than a failed run


def _measure_into(folder: Path, cpus: Collection[int]) -> None:
    threads = str(len(cpus))
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "honed.machine.peak_flops", "--cpus", format_cpus(cpus)],
        env={**thread_variables.without(os.environ), **dict.fromkeys(pools, threads)},
        capture_output=True,
        check=True,
        timeout=_TIMEOUT_S,
    )
    float(json.loads(done.stdout)["fp32_flops_per_s"])  # fails before nonsense is cached
    (folder / "bound.json").write_bytes(done.stdout)


def measure(threads: int, seconds: float = _SECONDS) -> float:
    """FLOP/s of the fastest fp32 matrix product in about `seconds`, in this process."""
    import numpy as np

    side = min(_LARGEST_SIDE, _SIDE * max(1, round(threads**0.5)))
    rng = np.random.default_rng(0)
    a, b = (rng.random((side, side), dtype=np.float32) for _ in range(2))
    out = a @ b  # the first product starts the thread pool and touches the pages
    best_s, ends_s = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends_s:
        began_s = time.perf_counter()
        np.matmul(a, b, out=out)
        best_s = min(best_s, time.perf_counter() - began_s)
    return float(2 * side**3 / best_s)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m honed.machine.peak_flops")
    parser.add_argument("--cpus", required=True, help="CPUs to pin to, one thread each: 0-3,8")
    parser.add_argument("--seconds", type=float, default=_SECONDS)
    options = parser.parse_args()
    cpus = parse_cpus(options.cpus)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, cpus)
    flops_per_s = measure(len(cpus), options.seconds)
    sys.stdout.write(json.dumps({"fp32_flops_per_s": flops_per_s, "cpus": options.cpus}) + "\n")


if __name__ == "__main__":
    main()
