"""A machine of numbers: a latency for every Case, failures where asked, noise, its own clock."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from records import failed_record, make_record

from honed.case import Case
from honed.compare.outcome import Comparison, Contrast, Failure, Metric, Side, Trial, ratio
from honed.errors import HonedError
from honed.experiment import blocks
from honed.phase import OnPhase, Phase
from honed.record import Memory, Record
from honed.statistics import paired
from honed.store import open_store
from honed.tune import study as studies
from honed.tune.ask import Ask, parse
from honed.tune.session import Hearers, Session
from honed.tune.space import Branch, Dimension, Space
from honed.tune.study import Study

Latency = Callable[[Case], float]  # seconds per call
Failing = Callable[[Case], str | None]  # a status


class Landscape:
    """A Bench. `cost_s` is what a process takes; an export adds `export_s` the first time."""

    def __init__(self, latency: Latency, failing: Failing = lambda _: None) -> None:
        self.latency = latency
        self.failing = failing
        self.noise = 0.0
        self.memory_mib: Callable[[Case], float] = lambda _: 500.0
        self.export_s: Mapping[str, float] = {}
        self.cost_s = 8.0
        self.now_s = 0.0
        self.measured: list[Case] = []
        self.records: dict[str, Record] = {}
        self.stop_after: int | None = None
        self._exported: set[tuple[str, str]] = set()
        self._rng = random.Random(7)
        self._ids = itertools.count()

    def clock_s(self) -> float:
        return self.now_s

    def alone(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def record(self, id: str) -> Record | None:
        return self.records.get(id)

    def measure(self, case: Case, on_phase: OnPhase) -> Record:
        if self.stop_after is not None and len(self.measured) >= self.stop_after:
            raise KeyboardInterrupt
        self.measured.append(case)
        try:
            for phase in (Phase.LOADING, Phase.WARMING_UP, Phase.MEASURING):
                self.now_s += self._load_s(case) if phase is Phase.LOADING else 0.0
                on_phase(phase)
        except HonedError as error:  # as the parent of a run does
            return self._kept(failed_record(error.status, str(error), case=case.to_json()))
        status = self.failing(case)
        if status is not None:
            return self._kept(failed_record(status, "as asked", case=case.to_json()))
        return self._kept(self._record(case))

    def compare(self, sides: Mapping[str, Case], metric: Metric, budget_s: float) -> Comparison:
        first, *_ = sides
        ends_s, told = self.now_s + budget_s, []

        class Stop(Exception):
            pass

        def draw(side: str, block: int) -> float:
            self.now_s += self.cost_s
            status = self.failing(sides[side])
            record = self._kept(self._record(sides[side]))
            latency_s = record.metrics.latency_s.p50
            value = latency_s if metric == "latency" else record.metrics.throughput_per_s.value
            told.append(Trial(side, block, record.id, status or "ok", None if status else value))
            if status:
                raise Stop(side, status)
            return math.log(value) if metric == "latency" else -math.log(value)

        plan = blocks.Plan(tuple(sides), paired.Question(math.log(1.01)), seed=1)
        failure, contrasts = None, ()
        try:
            round_s = 2 * len(sides) * self.cost_s
            stands = blocks.run(plan, draw, lambda _: self.now_s + round_s <= ends_s or not told)
            contrasts = tuple(
                Contrast(side, first, j.kind, ratio(j.estimate, metric), j.estimate.count)
                for side, j in stands.judgements.items()
            )
        except Stop as stopped:
            failure = Failure(stopped.args[0], stopped.args[1], "as asked", "", None)
        return Comparison(
            "sweep", metric, 0.01, None, budget_s, "failed" if failure else "decided",
            tuple(Side(k, c.to_json(), {}, 0, None, None, ()) for k, c in sides.items()),
            contrasts, tuple(told), 0.0, failure=failure,
        )  # fmt: skip

    def _load_s(self, case: Case) -> float:
        branch = (case.backend, case.precision)
        export_s = 0.0 if branch in self._exported else self.export_s.get(case.backend, 0.0)
        self._exported.add(branch)
        return self.cost_s + export_s

    def _record(self, case: Case) -> Record:
        p50_s = self.latency(case) * math.exp(self._rng.gauss(0.0, self.noise))
        return make_record(
            case.to_json(), p50_s=p50_s, calls=20, spread=0.001, seed=next(self._ids),
            elapsed_s=self.cost_s,
            memory=Memory(rss_peak_bytes=int(self.memory_mib(case) * 2**20)),
        )  # fmt: skip

    def _kept(self, record: Record) -> Record:
        record = replace(record, id=f"r{next(self._ids)}")
        self.records[record.id] = record
        return record


ENGINES = (
    Branch("torch", "fp32", 1.0),
    Branch("openvino", "int8", 4.0),
    Branch("onnxruntime", "int8", 4.0),
    Branch("torch", "int8", 4.0),
    Branch("openvino", "bf16", 2.0),
    Branch("onnxruntime", "fp32", 1.0),
)
DIMENSIONS = (
    Dimension("threads", (1, 2, None), True, "search"),
    Dimension("openvino.streams", (None, 1, 2, 4), True, "search"),
    Dimension("openvino.hint", (None, "latency", "throughput"), False, "search"),
    Dimension("torch.mode", (None, "eager", "compile"), False, "search"),
    Dimension("allocator", (None, "jemalloc", "tcmalloc"), False, "polish"),
    Dimension("malloc_arenas", (None, 1, 2, 4), True, "polish"),
)


def latency_s(case: Case) -> float:
    """OpenVINO int8 wins, two streams a little; jemalloc gives 6 %; the rest does nothing."""
    seconds = {"torch": 0.15, "onnxruntime": 0.12, "openvino": 0.114}[case.backend]
    seconds /= {"fp32": 1.0, "bf16": 1.8, "int8": 3.4 if case.backend == "openvino" else 2.6}[
        case.precision
    ]
    seconds *= {1: 1.7}.get(case.threads or 2, 1.0)
    seconds *= {2: 0.9, 4: 1.2}.get(case.get("openvino.streams") or 1, 1.0)
    return seconds * (0.94 if case.get("allocator") == "jemalloc" else 1.0)


def ask(*words: str) -> Ask:
    return parse(["model=bert-base-uncased", "study=test", *words])


def space(asked: Ask, dimensions: Sequence[Dimension] = DIMENSIONS) -> Space:
    return Space(asked.base, ENGINES, tuple(dimensions), memory_bytes=2**35, weights_bytes=2**29)


@contextlib.contextmanager
def stored(folder: Path, asked: Ask, own: Space | None = None) -> Iterator[tuple[Study, sa.URL]]:
    """A new study in a database of its own."""
    with open_store(str(folder / "records.db")) as store:
        yield studies.create(store.url, asked, own or space(asked)), store.url


def session(study: Study, bench: Landscape) -> Session:
    return Session(study, bench, Hearers())
