"""How much faster than torch eager fp32 are the int8 and bf16 of each engine, on bert-base?

    python -m benchmarks.precision [--rounds 8] [--model MODEL] [--shape 1x128] [--quick]
                                  [SETTINGS ...]

Fresh processes run in turns; the random order of a round is mirrored in the next. A setting counts
only if its outputs are within the tolerance of its precision (otherwise the record of `honed run`
is `diverged`). Ratios are means of logs over the rounds, with the interval of honed compare.
Further SETTINGS are words in quotes: "backend=onnxruntime precision=int8 onnxruntime.gelu=tanh".
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Sequence

from honed.case import Case
from honed.compose import compose
from honed.experiment.turns import mirrored
from honed.record import Record
from honed.run.parent import measure
from honed.statistics.paired import sequence

_REFERENCE = "backend=torch precision=fp32"
_FREEZE = "torch.mode=compile torch.freezing=on"
_SETTINGS = (
    "backend=torch precision=int8",
    f"backend=torch precision=int8 torch.int8=static {_FREEZE}",
    "backend=onnxruntime precision=int8",
    "backend=onnxruntime precision=int8 onnxruntime.int8=static",
    "backend=onnxruntime precision=int8 onnxruntime.gelu=tanh",
    "backend=openvino precision=int8",
    "backend=ctranslate2 precision=int8",
    "backend=torch precision=bf16",
    f"backend=torch precision=bf16 {_FREEZE}",
    "backend=openvino precision=bf16",
)
_QUICK = ("backend=onnxruntime precision=int8",)
_WANTED = {"int8": 4.5, "bf16": 2.3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--model", default="bert-base-uncased")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--shape", default="1x128", help="batch x length")
    parser.add_argument("--quick", action="store_true", help="a tiny model: does it run?")
    asked = parser.parse_args()
    model, rounds = ("tiny-bert", 2) if asked.quick else (asked.model, asked.rounds)
    settings = (_REFERENCE, *(_QUICK if asked.quick else asked.settings or _SETTINGS))
    cases = {s: _case(model, asked.shape, s) for s in settings}
    failed = {s: why for s, case in cases.items() if (why := _refused(measure(case)))}
    for setting, why in failed.items():  # the first process also exports, and does not count
        print(f"left out: {setting}: {why}", flush=True)
    found = measured({s: c for s, c in cases.items() if s not in failed}, rounds)
    print(f"{model} {asked.shape}, {rounds} processes each; times fp32 torch eager")
    for setting, records in found.items():
        print(line(setting, records, found[_REFERENCE]))
    for precision, times in _WANTED.items():
        own = [s for s in found if f"precision={precision}" in s]
        if own:
            best = max(own, key=lambda s: _ratio(found[s], found[_REFERENCE]))
            value = _ratio(found[best], found[_REFERENCE])
            print(f"best {precision}: {value:.2f} times, wanted {times}: {best}")


def _case(model: str, shape: str, setting: str) -> Case:
    batch, length = shape.split("x")
    words = [f"model={model}", f"batch_size={batch}", f"sequence_length={length}", "memory=false",
             "duration_s=1", "min_samples=10", "warmup_s=3", *setting.split()]  # fmt: skip
    return compose(words).cases[0]


def _refused(record: Record) -> str:
    return "" if record.ok else f"{record.status}: {record.error and record.error.message}"


def measured(cases: dict[str, Case], rounds: int) -> dict[str, list[Record]]:
    rng = random.Random(0)
    orders: list[Sequence[str]] = []
    while len(orders) < rounds:
        orders += mirrored(tuple(cases), rng)
    found: dict[str, list[Record]] = {s: [] for s in cases}
    for order in orders[:rounds]:
        for setting in order:
            record = measure(cases[setting])
            if why := _refused(record):
                raise SystemExit(f"{setting}: {why}")
            found[setting].append(record)
    return found


def _p50s(records: Sequence[Record]) -> list[float]:
    return [r.metrics.latency_s.p50 for r in records if r.metrics is not None]


def _ratio(own: Sequence[Record], reference: Sequence[Record]) -> float:
    pairs = zip(_p50s(reference), _p50s(own), strict=True)
    return math.exp(statistics.mean(math.log(a / b) for a, b in pairs))


def line(setting: str, own: Sequence[Record], reference: Sequence[Record]) -> str:
    pairs = zip(_p50s(reference), _p50s(own), strict=True)
    at = sequence([math.log(a / b) for a, b in pairs])
    interval = (
        f"{math.exp(at.low):.2f} to {math.exp(at.high):.2f}" if math.isfinite(at.half) else ""
    )
    cosine = min(r.fidelity.cosine_min for r in own if r.fidelity is not None)
    return (
        f"{statistics.median(_p50s(own)) * 1e3:8.2f} ms  {math.exp(at.log):5.2f}  {interval:14}  "
        f"cosine {cosine:.5f}  {setting}"
    )


if __name__ == "__main__":
    main()
