"""Is an engine as fast under honed as in the best plain script?

    python -m benchmarks.wrapper_tax [ENGINE,...] [SHAPE,...] [--model MODEL] [--limit 3%]
                                     [--budget 3m] [--threads N] [--quick]

Each cell is one engine at one batch x length, in fp32, out of the box. Fresh processes run in
turns, in blocks of mirrored order: the worker of `honed run`, and benchmarks/plain/ENGINE.py,
which does not use honed. An engine that needs an export gets honed's on both sides. The statistics
are those of honed compare: a ratio over processes, with an interval that may be computed after
every round. A cell ends when the whole interval lies within the limit or outside it, or when its
budget is spent (undecided). With `--threads 1` both sides use the same core: the overhead of a
call is the same there, and on a shared machine the other core is left to other programs.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from honed import artifacts
from honed.backends.base import LoadRequest, load_backend
from honed.case import Case
from honed.experiment.turns import mirrored
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import materialise
from honed.run.parent import measure
from honed.statistics.paired import Estimate, sequence
from honed.units import seconds, share

ENGINES = ("torch", "onnxruntime", "openvino", "keras", "ctranslate2")
SHAPES = ("1x32", "1x128", "8x128")
_OWN = {"keras": {"keras.mode": "graph"}}  # what the plain script does by hand
_PLAIN = Path(__file__).with_name("plain")


@dataclass(frozen=True, slots=True)
class Cell:
    """One engine at one shape; how long each process is warmed up and timed."""

    case: Case
    folder: Path
    warmup_s: float
    duration_s: float
    cpus: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.case.backend} {self.case.batch_size}x{self.case.sequence_length}"

    def honed(self) -> float:
        """The median call of one process of honed's."""
        record = measure(self.case)
        if not record.ok or record.metrics is None:
            sys.exit(f"{self.name}: {record.status}: {record.error}")
        return record.metrics.latency_s.p50

    def plain(self) -> float:
        """The median call of one process of the plain script."""
        words = [self.folder, self.case.batch_size, self.case.sequence_length, self.warmup_s,
                 self.duration_s, self.case.threads or 0]  # fmt: skip
        script = _PLAIN / f"{self.case.backend}.py"
        done = subprocess.run(
            ["taskset", "-c", ",".join(map(str, self.cpus)), sys.executable, "-P", str(script),
             *map(str, words)],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{script.name} failed:\n{done.stderr[-2000:]}")
        return float(json.loads(done.stdout.splitlines()[-1])["p50_s"])


@dataclass(slots=True)
class Found:
    """A cell's processes so far, block by block."""

    honed: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)

    @property
    def estimate(self) -> Estimate:
        return sequence([math.log(a / b) for a, b in zip(self.honed, self.plain, strict=True)])


def cell(asked: argparse.Namespace, engine: str, shape: str) -> Cell:
    """The cell, with everything that either side needs in the cache."""
    batch, length = map(int, shape.split("x"))
    model, quick = asked.model, asked.quick
    warmup_s, duration_s = (0.2, 0.2) if quick else (1.0, 0.7)
    case = Case(
        model=model, backend=engine, batch_size=batch, sequence_length=length, memory=False,
        duration_s=duration_s, min_samples=10, warmup_s=3 * warmup_s, knobs=_OWN.get(engine, {}),
        threads=asked.threads,
    )  # fmt: skip
    first = measure(case)  # exports, so that no process that counts has to
    if not first.ok:
        sys.exit(f"{engine} {shape}: {first.status}: {first.error}")
    checkpoint = materialise(ModelRequest(model))
    times = (warmup_s, duration_s, tuple(first.effective[0]["cpus"]))
    if engine in ("torch", "keras"):  # these scripts build the model themselves
        return Cell(case, checkpoint.folder, *times)
    backend = load_backend(engine)
    about = backend.artifact(LoadRequest(case, checkpoint, None))
    assert about is not None
    folder = artifacts.find("export", artifacts.content_key({"backend": engine, **about}))
    assert folder is not None, f"{engine} has just exported"
    return Cell(case, folder, *times)


def compared(of: Cell, limit: float, budget_s: float) -> tuple[Found, str]:
    """Rounds of two mirrored blocks until the interval decides or the budget is spent."""
    began_s, found = time.monotonic(), Found()
    rng = random.Random(0)
    verdict, round_s = "undecided", 0.0
    while not found.honed or (
        verdict == "undecided" and time.monotonic() - began_s + round_s <= budget_s
    ):
        round_began_s = time.monotonic()
        for order in mirrored(("honed", "plain"), rng):
            for side in order:
                getattr(found, side).append(getattr(of, side)())
        round_s = time.monotonic() - round_began_s
        verdict = judged(found.estimate, math.log1p(limit))
    return found, verdict


def judged(at: Estimate, limit: float) -> str:
    """Where the whole interval lies; unlike a comparison's "tie", a small tax may be certain."""
    if -limit <= at.low and at.high <= limit:
        return "within"
    if at.low > limit or at.high < -limit:
        return "slower" if at.low > limit else "faster"
    return "undecided"


def line(of: Cell, found: Found, verdict: str, took_s: float) -> str:
    at = found.estimate
    interval = "no interval yet"
    if math.isfinite(at.half):
        interval = f"{math.exp(at.low):.3f} to {math.exp(at.high):.3f}"
    return (
        f"{of.name:20} {statistics.median(found.honed) * 1e3:9.2f} "
        f"{statistics.median(found.plain) * 1e3:9.2f}   {math.exp(at.log):6.3f}  "
        f"{interval:16} {at.count:6}  {verdict:9} {took_s:4.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="?", default=",".join(ENGINES))
    parser.add_argument("shapes", nargs="?", default=",".join(SHAPES))
    parser.add_argument("--model", default="bert-base-uncased")
    parser.add_argument("--limit", default="3%", help="the most that honed may cost")
    parser.add_argument("--budget", default="3m", help="the most time for a cell")
    parser.add_argument("--threads", type=int, help="of each side; as many cores are theirs")
    parser.add_argument("--quick", action="store_true", help="two blocks of tiny processes")
    asked = parser.parse_args()
    print(f"{asked.model}, medians over processes; ratio: honed / plain")
    print(f"{'':20} {'honed ms':>9} {'plain ms':>9}   {'ratio':>6}  {'95 % interval':16} blocks")
    worse = 0
    for engine in asked.engines.split(","):
        for shape in asked.shapes.split(","):
            of = cell(asked, engine, shape)
            began_s = time.monotonic()
            budget_s = 1e-3 if asked.quick else seconds(asked.budget)
            found, verdict = compared(of, share(asked.limit), budget_s)
            print(line(of, found, verdict, time.monotonic() - began_s), flush=True)
            worse += verdict == "slower"
    sys.exit(0 if asked.quick or not worse else 1)


if __name__ == "__main__":
    main()
