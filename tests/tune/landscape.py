"""A machine of numbers: a latency for every Case, failures where a test wants them, a clock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from fake_lab import FakeLab

from honed.case import Case
from honed.phase import OnPhase, ignore_phase
from honed.record import Memory, Record
from honed.store import open_store
from honed.study import Outcome, Setting, Trial
from honed.tune import api, storage
from honed.tune.confirm.work import Confirmation
from honed.tune.context import StudyContext
from honed.tune.question import Question, parse
from honed.tune.space import Branch, Dimension, Space
from honed.tune.storage import Study, ended


class Landscape(FakeLab):
    """`memory_mib` gives each Case with memory=true its memory. The first process of each engine
    and precision takes `export_s[engine]` longer."""

    def __init__(
        self,
        latency_s: Callable[[Case], float],
        failing: Callable[[Case], str | None] = lambda _: None,
    ) -> None:
        super().__init__(latency_s, noise=0.0)
        self.failing = failing
        self.memory_mib: Callable[[Case], float] = lambda _: 500.0
        self.export_s: Mapping[str, float] = {}
        self._exported: set[tuple[str, str]] = set()

    def measure(
        self, case: Case, sweep: str | None = None, on_phase: OnPhase = ignore_phase
    ) -> Record:
        memory = Memory(rss_peak_bytes=int(self.memory_mib(case) * 2**20)) if case.memory else None
        self.fields = {"memory": memory, "elapsed_s": self.cost_s}
        branch = (case.backend, case.precision)
        export_s = 0.0 if branch in self._exported else self.export_s.get(case.backend, 0.0)
        self._exported.add(branch)
        self.cost_s += export_s
        try:
            return super().measure(case, sweep, on_phase)
        finally:
            self.cost_s -= export_s


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


def question(*words: str) -> Question:
    return parse(["model=bert-base-uncased", "study=test", *words])


def space(of: Question, dimensions: Sequence[Dimension] = DIMENSIONS) -> Space:
    return Space(of.base, ENGINES, tuple(dimensions), memory_bytes=2**35, weights_bytes=2**29)


@contextlib.contextmanager
def stored(
    folder: Path, of: Question, searched: Space | None = None
) -> Iterator[tuple[Study, sa.URL]]:
    """A new study in a database of its own."""
    with open_store(str(folder / "records.db")) as store:
        yield storage.create(store.url, of, searched or space(of)), store.url


class MemoryStudy:
    """A study that no database keeps, for hundreds of studies in one test."""

    def __init__(self, of: Question, searched: Space) -> None:
        self.question, self.space = of, searched
        self.name = of.name
        self.outcome: Outcome | None = None
        self._trials: list[Trial] = []

    def trials(self) -> list[Trial]:
        return list(self._trials)

    def begin(self, setting: Setting, stage: str) -> Trial:
        self._trials.append(Trial(len(self._trials), stage, setting, "running"))
        return self._trials[-1]

    def end(self, trial: Trial) -> None:
        self._trials[trial.number] = trial

    def sweep_up(self) -> int:
        return 0

    def store_outcome(self, outcome: Outcome) -> None:
        self.outcome = outcome


def find(study: Study | MemoryStudy, lab: FakeLab) -> Outcome:
    return api.find(StudyContext(study, lab))  # type: ignore[arg-type]


@contextlib.contextmanager
def confirming(
    folder: Path, lab: FakeLab, of: Question, tried: Sequence[Setting], left_s: float = 300.0
) -> Iterator[Confirmation]:
    """A confirmation that may take `left_s`, after a trial of the default and of each setting."""
    with stored(folder, of) as (study, _):
        for setting in (study.space.default, *tried):
            trial = study.begin(setting, "expert")
            record = lab.measure(study.space.case(setting))
            study.end(replace(ended(trial, record, of), elapsed_s=lab.cost_s))
        yield Confirmation(StudyContext(study, lab), lab.now_s + left_s)
