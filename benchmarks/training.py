"""Are the numbers of training steps right: their times, their phases, their profile, their memory?

    python -m benchmarks.training [PART,...] [--models lm-small,...] [--precision fp32,bf16]
                                  [--blocks 4] [--warmups 5] [--steps 10] [--quick]

Parts, in the order in which they run; each prints how long it took, and so does each model and
precision of those that need a quiet machine:

times     the step of `honed run workload=train_step` beside benchmarks/plain/train.py, which
          does not use honed: fresh processes in turns, in blocks of mirrored order, the ratio
          of each phase with its 95 % interval; and whether the phases of a step add up to it.
          Needs a quiet machine.
phases    `until=forward`, `until=backward` and the whole step in turns: do the phases add up to
          the step, and do those of one command agree with those of another? Needs a quiet machine.
profile   the sum of all operators beside the time of the step, under the profiler and without it.
          Needs a quiet machine.
memory    the planned and the measured peak of a whole step. The machine may be busy, but what is
          planned must be free: else a line says so.
large     one forward pass of the sizes whose training does not fit, or the reason why not.

Steps are of 4 x 128. A process whose steps take seconds needs fewer of them: for lm-medium,
`--warmups 2 --steps 4` keeps a part below ten minutes for each precision.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.case import Case
from honed.experiment.turns import mirrored
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import materialise
from honed.plan.of_case import Expected
from honed.record import Record
from honed.run.lab import LocalLab
from honed.run.parent import measure
from honed.show.memory import memory_of, planned_line
from honed.show.profile import profile_of
from honed.statistics.paired import sequence
from honed.store import open_store
from honed.suite.planned import PlannedLab

PHASES = ("forward", "backward", "optimizer", "step")
_BATCH, _LENGTH = 4, 128
# What --quick measures in the place of the model's own sizes.
_SMALL = {"model.d_model": 128, "model.d_ff": 256, "model.num_layers": 2, "model.num_heads": 2}
_PLAIN = Path(__file__).with_name("plain") / "train.py"


@dataclass(frozen=True)
class Asked:
    """What is measured, and how carefully."""

    models: tuple[str, ...]
    precisions: tuple[str, ...]
    blocks: int
    warmups: int
    steps: int
    is_tiny: bool

    def cells(self) -> Iterator[tuple[str, str]]:
        """The models and precisions in turn; says after each how long it took."""
        for model, precision in itertools.product(self.models, self.precisions):
            began = time.monotonic()
            yield model, precision
            print(f"{model} {precision}: {(time.monotonic() - began) / 60:.1f} min", flush=True)

    def case(self, model: str, precision: str, passes: str | None = None, **knobs: str) -> Case:
        sizes = _SMALL if self.is_tiny else {}
        return Case(
            model=model, workload="train_step", batch_size=_BATCH, sequence_length=_LENGTH,
            precision=precision, memory=False, passes=passes, timeout_s=1800.0,
            knobs={"warmup_steps": self.warmups, "steps": self.steps, **sizes, **knobs},
        )  # fmt: skip


def measured(case: Case) -> Record:
    record = measure(case)
    if not record.ok or record.metrics is None or record.metrics.phases is None:
        sys.exit(f"{case.label()}: {record.status}: {record.error}")
    return record


def means(record: Record) -> dict[str, float]:
    assert record.metrics is not None
    assert record.metrics.phases is not None
    return {name: latency.mean for name, latency in record.metrics.phases.items()}


def plain_means(case: Case, folder: Path, cpus: list[int]) -> dict[str, float]:
    calls = [case.get("warmup_steps"), case.get("steps")]
    words = [folder, _BATCH, _LENGTH, *calls, case.threads or 0, case.precision]
    done = subprocess.run(
        ["taskset", "-c", ",".join(map(str, cpus)), sys.executable, "-P", str(_PLAIN),
         *map(str, words)],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{_PLAIN.name} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def times(asked: Asked) -> None:
    print(f"{'':16} {'phase':10} {'honed ms':>9} {'script ms':>9}   {'ratio':>6}  95 % interval")
    for model, precision in asked.cells():
        case = asked.case(model, precision)
        folder = materialise(ModelRequest.from_case(case)).folder
        one_step = case.replace(knobs={"warmup_steps": 0, "steps": 1})
        cpus = list(measured(one_step).effective[0]["cpus"])
        found: dict[str, list[dict[str, float]]] = {"honed": [], "plain": []}
        rng = random.Random(0)
        for _ in range(max(1, asked.blocks // 2)):
            for order in mirrored(("honed", "plain"), rng):
                for side in order:
                    is_ours = side == "honed"
                    found[side].append(
                        means(measured(case)) if is_ours else plain_means(case, folder, cpus)
                    )
        for phase in PHASES:
            _print_ratio(f"{model:10} {precision:5} {phase:10}", phase, found)
        print(f"phases add up to the step within {_most_off(found['honed']):.2%}")


def _most_off(steps: Sequence[Mapping[str, float]]) -> float:
    """The largest difference between a step and its phases, as a share of the step."""
    return max(abs(sum(times[p] for p in PHASES[:-1]) / times["step"] - 1) for times in steps)


def _print_ratio(label: str, phase: str, found: dict[str, list[dict[str, float]]]) -> None:
    pairs = zip(found["honed"], found["plain"], strict=True)
    at = sequence([math.log(h[phase] / p[phase]) for h, p in pairs])
    between = "no interval yet"
    if math.isfinite(at.half):
        between = f"{math.exp(at.low):.3f} to {math.exp(at.high):.3f}"
    ours, theirs = (statistics.median(t[phase] for t in found[s]) * 1e3 for s in found)
    print(f"{label} {ours:9.1f} {theirs:9.1f}   {math.exp(at.log):6.3f}  {between}", flush=True)


def phases(asked: Asked) -> None:
    for model, precision in asked.cells():
        found: dict[str, list[dict[str, float]]] = defaultdict(list)
        for _ in range(asked.blocks):
            for until in PHASES[:-1]:
                found[until].append(means(measured(asked.case(model, precision, until=until))))
        whole = found["optimizer"]
        # Forward alone, backward as another command timed it, optimizer as a third one did.
        apart = sum(statistics.median(m[until] for m in found[until]) for until in PHASES[:-1])
        step = statistics.median(m["step"] for m in whole)
        steps = ", ".join(
            f"{until} {statistics.median(m['step'] for m in found[until]) * 1e3:.1f} ms"
            for until in PHASES[:-1]
        )
        print(
            f"{model:10} {precision:5} steps until {steps}; the phases of one step add up to it "
            f"within {_most_off(whole):.2%}; phases of three commands: {apart / step - 1:+.2%}",
            flush=True,
        )


def profile(asked: Asked) -> None:
    for model, precision in asked.cells():
        record = measured(asked.case(model, precision, passes="profile"))
        part = profile_of(record)
        assert part is not None
        step_s = means(record)["step"]
        share = sum(row.share for row in part.rows)
        print(
            f"{model:10} {precision:5} step {step_s * 1e3:.1f} ms; all operators "
            f"{part.profiled_s * 1e3:.1f} ms, {part.profiled_s / step_s - 1:+.2%}; their shares "
            f"add up to {share:.2%}; the profiler's overhead is {part.overhead:+.1%}",
            flush=True,
        )


def memory(asked: Asked) -> None:
    lab = PlannedLab(LocalLab(open_store("sqlite://")))
    differences = [0.0]
    for model, precision in asked.cells():
        case = asked.case(model, precision, passes="memory_timeline").replace(
            memory=True, knobs={"warmup_steps": 1, "steps": 1}
        )
        planned, record = lab.planners.expect(case), lab.measure(case)
        part = memory_of(record)
        assert planned is not None
        if part is None:
            found = record.error.message if record.error else record.status
        else:
            differences.append(planned.peak_bytes / part.peak.size_bytes - 1)
            found = f"{planned_line(part, planned)}; {_beside_allocator(planned, record)}"
        print(f"{model:10} {precision:5} {found}", flush=True)
    print(f"largest difference between plan and measurement: {max(map(abs, differences)):.3%}")


def _beside_allocator(planned: Expected, record: Record) -> str:
    allocated = record.memory.tensor_peak_bytes if record.memory else None
    if allocated is None:
        return "torch's allocator does not tell"
    off = planned.peak_bytes / allocated - 1
    return f"torch's allocator gave out {allocated / 2**20:,.1f} MiB at most ({off:+.3%})"


def large(asked: Asked) -> None:
    lab = PlannedLab(LocalLab(open_store("sqlite://")))
    for model in ("lm-large", "lm-xl", "lm-2.7b"):
        case = asked.case(model, "fp32", until="forward").replace(
            knobs={"warmup_steps": 1, "steps": 1}
        )
        record = lab.measure(case)
        if record.metrics is None:
            reason = record.error.message if record.error else record.status
            print(f"{model:10} forward: {record.status}: {reason}", flush=True)
        else:
            print(f"{model:10} forward {means(record)['forward']:.2f} s", flush=True)


PARTS: dict[str, Callable[[Asked], None]] = {
    "times": times, "phases": phases, "profile": profile, "memory": memory, "large": large,
}  # fmt: skip
# The sizes of each part, where none are asked for.
_MODELS = {"memory": "lm-small,lm-medium,lm-large"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="?", default=",".join(PARTS))
    parser.add_argument("--models")
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--warmups", type=int, default=5, help="steps before the measured ones")
    parser.add_argument("--steps", type=int, default=10, help="measured steps of a process")
    parser.add_argument(
        "--quick", action="store_true", help="two steps of a tiny model in each process"
    )
    words = parser.parse_args()
    for part in words.parts.split(","):
        models = words.models or _MODELS.get(part, "lm-small,lm-medium")
        effort = (2, 1, 2) if words.quick else (words.blocks, words.warmups, words.steps)
        asked = Asked(
            tuple(models.split(",")), tuple(words.precision.split(",")), *effort, words.quick
        )
        print(f"== {part}: steps of {_BATCH} x {_LENGTH}, {asked.steps} after {asked.warmups}")
        began = time.monotonic()
        PARTS[part](asked)
        print(f"== {part} took {(time.monotonic() - began) / 60:.1f} min", flush=True)


if __name__ == "__main__":
    main()
