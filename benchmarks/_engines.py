"""A real engine with a known extra computation, in a private copy of honed.

The fake engine sleeps, so its latency does not depend on the speed of the machine. A comparison
must cope with the noise of a real engine; therefore ONNX Runtime runs, followed by some numpy
operations whose number is a setting.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import honed
from benchmarks._common import honed_run

SLOWED = '''
"""onnxruntime, followed by a number of numpy operations."""
import numpy as np
from honed.backends.onnxruntime import *
from honed.backends import onnxruntime as _plain
from honed.knob import Knob, Span
EXTRA_CALLS = Knob("slowed.calls", "further operations after each call", Span(0, 10**6))
KNOBS = (EXTRA_CALLS,)

def load(request, artifact):
    step = _plain.load(request, artifact)
    count = int(request.case.get("slowed.calls") or 0)
    run, read_back = step.run, step.read_back
    values = np.linspace(0.0, 1.0, 4096)

    def slowed(feed):
        raw = run(feed)
        for _ in range(count):
            np.sin(values)
        return raw

    step.run = slowed
    step.read_back = lambda: {**read_back(), "slowed.calls": request.case.get("slowed.calls")}
    return step
'''
# One core of two leaves the other core to the other programs. On both cores, windows of 0.3 s in
# one process spread by 11 % on this machine; on one core, by 1.3 %.
MODEL = ("model=MiniLM-L6", "backend=slowed", "sequence_length=80", "threads=1", "memory=false")
_MANY = 2000  # operations: enough that their time stands out from the engine's noise


@contextlib.contextmanager
def slowed_engine() -> Iterator[dict[str, str]]:
    """An environment in which `backend=slowed` exists."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        shutil.copytree(Path(honed.__file__).parent, source / "honed")
        (source / "honed" / "backends" / "slowed.py").write_text(SLOWED)
        yield os.environ | {"PYTHONPATH": str(source)}


def batch_for(target_s: float, env: dict[str, str]) -> tuple[int, float]:
    """The batch size whose call time is nearest to `target_s`, and that time."""
    times = {b: _p50_s(b, 0, env) for b in (1, 2, 3, 4, 6, 8)}
    batch = min(times, key=lambda b: abs(times[b] - target_s))
    return batch, times[batch]


def calls_for(share: float, batch: int, env: dict[str, str]) -> tuple[int, float]:
    """How many operations make a call slower by `share`, and the share that whole ones make.

    Their time is taken inside the engine's process, after its calls, where they will run: caches
    and clock are as they will be. Medians of three processes with none and with many.
    """
    plain_s = statistics.median(_p50_s(batch, 0, env) for _ in range(3))
    loaded_s = statistics.median(_p50_s(batch, _MANY, env) for _ in range(3))
    one_s = (loaded_s - plain_s) / _MANY
    count = max(1, round(share * plain_s / one_s))
    return count, count * one_s / plain_s


def _p50_s(batch: int, calls: int, env: dict[str, str]) -> float:
    words = (*MODEL, f"batch_size={batch}", f"slowed.calls={calls}", "duration_s=1")
    p50_s: float = honed_run(*words, env=env)["metrics"]["latency_s"]["p50"]
    return p50_s
