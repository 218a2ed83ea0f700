"""The FLOP/s that no run on these cores can beat by much: a measured product, scaled by the ISA.

Run as `python -m honed.machine.bound --cpus 0-3 [--seconds 0.5]` it measures and prints.
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
from honed.machine.facts import fingerprint
from honed.machine.topology import format_cpus, parse_cpus

_SECONDS = 0.5
_TIMEOUT_S = 60.0
_SIDE = 1024  # one core's product: 2 GFLOP, 12 MiB
_LARGEST_SIDE = 8192

# Multiply-adds per instruction (AMX: per cycle) over those of the widest fp32 FMA that a CPU with
# the flag has. The strongest one present counts.
#
# AVX-512: VFMADDPS does 16, VDPBF16PS 32, VFMADDPH 32, VPDPBUSD 64 in a 512-bit register; in 256
# bits (AVX-VNNI) 8 and 32. Intel 64 and IA-32 Architectures SDM, volume 2. The same issue rate is
# assumed for all of them.
# AMX: per core and cycle 2048 int8 and 1024 bf16 or fp16 operations against 64 for fp32 with two
# AVX-512 ports. Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX.
# Arm: FMLA does 4 per 128 bits, fp16 FMLA 8, BFMMLA 16, SDOT 16, SMMLA 32. Arm Architecture
# Reference Manual, A-profile; here too the same issue rate is assumed.
_RATIOS: Mapping[str, Mapping[str, float]] = {
    "fp32": {},
    "bf16": {"amx_bf16": 16, "avx512_bf16": 2, "bf16": 4, "svebf16": 4},
    "fp16": {"amx_fp16": 16, "avx512_fp16": 2, "asimdhp": 2},
    "int8": {
        "amx_int8": 32,
        "avx512_vnni": 4,
        "avx_vnni": 4,
        "asimddp": 4,
        "i8mm": 8,
        "svei8mm": 8,
    },
}
# Four-bit weights are unpacked and multiplied as int8 at best.
_AS = {"int4": "int8"}


def bound_flops_per_s(
    precision: str, cpus: Collection[int], facts: Mapping[str, Any]
) -> float | None:
    """The bound of these CPUs for `precision`; None where it cannot be measured.

    Measures for about a second the first time, in a process of its own, so call it when nothing
    is being timed. Cached by hardware, CPUs and numpy version.
    """
    measured = fp32_flops_per_s(cpus, facts)
    return None if measured is None else measured * isa_ratio(precision, facts.get("flags", ()))


def isa_ratio(precision: str, flags: Collection[str]) -> float:
    """How many times fp32's rate the CPU's own instructions reach; 1 without any."""
    ratios = _RATIOS.get(_AS.get(precision, precision), {})
    return max((ratio for flag, ratio in ratios.items() if flag in flags), default=1.0)


def fp32_flops_per_s(cpus: Collection[int], facts: Mapping[str, Any]) -> float | None:
    """The measured fp32 matrix product, from the cache where it has been measured before."""
    try:
        numpy_version = version("numpy")
    except PackageNotFoundError:
        return None
    if not cpus:
        return None
    about = {
        "hardware": fingerprint(facts),
        "cpus": format_cpus(cpus),
        "quota": facts.get("limits", {}).get("quota"),
        "numpy": numpy_version,
    }
    try:
        folder = artifacts.make("bound", about, lambda path: _measure_into(path, cpus))
        return float(json.loads((folder / "bound.json").read_text())["fp32_flops_per_s"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None  # a bound is good to have; a run does not fail for the want of it


def _measure_into(folder: Path, cpus: Collection[int]) -> None:
    threads = str(len(cpus))
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "honed.machine.bound", "--cpus", format_cpus(cpus)],
        env={**os.environ, **dict.fromkeys(pools, threads)},
        capture_output=True,
        check=True,
        timeout=_TIMEOUT_S,
    )
    float(json.loads(done.stdout)["fp32_flops_per_s"])  # nonsense must not be cached
    (folder / "bound.json").write_bytes(done.stdout)


def measure(threads: int, seconds: float = _SECONDS) -> float:
    """FLOP/s of the best fp32 matrix product in about `seconds`, in this process as it is."""
    import numpy as np

    side = min(_LARGEST_SIDE, _SIDE * max(1, round(threads**0.5)))
    rng = np.random.default_rng(0)
    a, b = (rng.random((side, side), dtype=np.float32) for _ in range(2))
    out = a @ b  # the first one starts the pool and touches the pages
    best_s, ends_s = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends_s:
        began_s = time.perf_counter()
        np.matmul(a, b, out=out)
        best_s = min(best_s, time.perf_counter() - began_s)
    return float(2 * side**3 / best_s)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m honed.machine.bound")
    parser.add_argument("--cpus", required=True, help="pin to these, one thread each: 0-3,8")
    parser.add_argument("--seconds", type=float, default=_SECONDS)
    asked = parser.parse_args()
    cpus = parse_cpus(asked.cpus)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, cpus)
    found = measure(len(cpus), asked.seconds)
    sys.stdout.write(json.dumps({"fp32_flops_per_s": found, "cpus": asked.cpus}) + "\n")


if __name__ == "__main__":
    main()
