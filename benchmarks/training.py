"""Are the phase times of `honed run workload=train_step` those of a script written by hand, and do
phases that are timed apart add up to the step?

    python -m benchmarks.training [MODEL,...] [--precision fp32,bf16] [--blocks 4] [--quick]

Fresh processes run in turns, in blocks of mirrored order: the worker of `honed run`, and
benchmarks/plain/train.py, which does not use honed. Both make 5 steps first and measure 10, at
4 x 128. The ratio of each phase is over processes, with its 95 % interval.

Then `until=forward`, `until=backward` and the whole step run in turns: the sum of the phases that
were timed apart is compared with the whole step.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from honed.case import Case
from honed.experiment.turns import mirrored
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import materialise
from honed.record import Record
from honed.run.parent import measure
from honed.statistics.paired import sequence

PHASES = ("forward", "backward", "optimizer", "step")
_BATCH, _LENGTH = 4, 128
_FULL, _QUICK = (5, 10), (1, 2)  # steps before the measured ones, and measured ones
# What --quick measures in the place of the model's own sizes.
_SMALL = {"model.d_model": 128, "model.d_ff": 256, "model.num_layers": 2, "model.num_heads": 2}
_PLAIN = Path(__file__).with_name("plain") / "train.py"


def case_of(model: str, precision: str, calls: tuple[int, int], **knobs: str) -> Case:
    sizes = _SMALL if calls == _QUICK else {}
    return Case(
        model=model, workload="train_step", batch_size=_BATCH, sequence_length=_LENGTH,
        precision=precision, memory=False,
        knobs={"warmup_steps": calls[0], "steps": calls[1], **sizes, **knobs},
    )  # fmt: skip


def measured(case: Case) -> Record:
    record = measure(case)
    if not record.ok or record.metrics is None or record.metrics.phases is None:
        sys.exit(f"{case.label()}: {record.status}: {record.error}")
    return record


def honed_means(case: Case) -> dict[str, float]:
    record = measured(case)
    assert record.metrics is not None
    assert record.metrics.phases is not None
    return {name: record.metrics.phases[name].mean for name in PHASES}


def plain_means(case: Case, folder: Path, calls: tuple[int, int], cpus: list[int]) -> dict:
    words = [folder, _BATCH, _LENGTH, *calls, case.threads or 0, case.precision]
    done = subprocess.run(
        ["taskset", "-c", ",".join(map(str, cpus)), sys.executable, "-P", str(_PLAIN),
         *map(str, words)],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{_PLAIN.name} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def beside_a_script(model: str, precision: str, blocks: int, calls: tuple[int, int]) -> None:
    case = case_of(model, precision, calls)
    folder = materialise(ModelRequest.from_case(case)).folder
    cpus = list(measured(case).effective[0]["cpus"])
    times: dict[str, list[dict[str, float]]] = defaultdict(list)
    rng = random.Random(0)
    for _ in range(max(1, blocks // 2)):
        for order in mirrored(("honed", "plain"), rng):
            for side in order:
                means = honed_means(case) if side == "honed" else plain_means(
                    case, folder, calls, cpus)  # fmt: skip
                times[side].append(means)
    for phase in PHASES:
        ratios = [
            math.log(h[phase] / p[phase])
            for h, p in zip(times["honed"], times["plain"], strict=True)
        ]
        at = sequence(ratios)
        between = "no interval yet"
        if math.isfinite(at.half):
            between = f"{math.exp(at.low):.3f} to {math.exp(at.high):.3f}"
        by = [statistics.median(t[phase] for t in times[side]) * 1e3 for side in times]
        first, second = by if next(iter(times)) == "honed" else by[::-1]
        print(f"{model:10} {precision:5} {phase:10} {first:9.1f} {second:9.1f}   "
              f"{math.exp(at.log):6.3f}  {between}", flush=True)  # fmt: skip


def apart_and_together(model: str, precision: str, blocks: int, calls: tuple[int, int]) -> None:
    """Forward alone, and what the others add, beside the whole step: by medians of processes."""
    times: dict[str, list[float]] = defaultdict(list)
    sums = []
    for _ in range(blocks):
        for until in ("forward", "backward", "optimizer"):
            record = measured(case_of(model, precision, calls, until=until))
            assert record.metrics is not None
            assert record.metrics.phases is not None
            times[until].append(record.metrics.phases["step"].p50)
            if until == "optimizer":
                phases = record.metrics.phases
                parts = sum(phases[p].mean for p in PHASES[:-1])
                sums.append(parts / phases["step"].mean)
    forward, backward, whole = (statistics.median(t) * 1e3 for t in times.values())
    print(f"{model:10} {precision:5} until forward {forward:.1f} ms, backward {backward:.1f} ms, "
          f"optimizer {whole:.1f} ms; sum of the phases / step: {statistics.median(sums):.4f}",
          flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="?", default="lm-small,lm-medium")
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument(
        "--quick", action="store_true", help="two steps of a tiny model in each process"
    )
    asked = parser.parse_args()
    calls = _QUICK if asked.quick else _FULL
    blocks = 2 if asked.quick else asked.blocks
    print(
        f"means of {calls[1]} steps after {calls[0]}, {_BATCH} x {_LENGTH}; ratio: honed / script"
    )
    print(f"{'':16} {'phase':10} {'honed ms':>9} {'script ms':>9}   {'ratio':>6}  95 % interval")
    for model in asked.models.split(","):
        for precision in asked.precision.split(","):
            beside_a_script(model, precision, blocks, calls)
            apart_and_together(model, precision, blocks, calls)


if __name__ == "__main__":
    main()
