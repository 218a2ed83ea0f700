"""What a server would be: its workers, its memory, its length classes and its greatest rate.

The workers are started, proven and timed as for serving, and ended again; nothing listens.
"""

from __future__ import annotations

from dataclasses import dataclass

from honed.case import Case
from honed.instruments import memory
from honed.plan import least
from honed.record import Record
from honed.serve.crew import Crew, drift_notice, served
from honed.serve.settings import ServeSettings
from honed.serve.supervisor import model_of, rules_of


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """One worker: its cores (empty: unpinned), its threads, its proportional memory, and the most
    tokens of a text that it takes (None: any)."""

    cpus: tuple[int, ...]
    threads: int | None
    pss_bytes: int | None
    up_to: int | None = None


@dataclass(frozen=True, slots=True)
class LengthClass:
    """Texts up to `tokens`: the seconds of one alone, the texts of a full batch and its seconds,
    and how many such texts all workers compute in a second.

    `batch_bytes` are the tensors of a full batch beside the weights, by the formulas of `honed
    plan`; None where the model's configuration leaves sizes out.
    """

    tokens: int
    alone_s: float
    batch_texts: int
    batch_s: float
    texts_per_s: float
    batch_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is known of a server before it listens."""

    record: Record
    front_cpus: tuple[int, ...]
    workers: tuple[WorkerPlace, ...]
    weights_bytes: int | None
    longest: int
    batch_tokens: int
    classes: tuple[LengthClass, ...]
    error: float
    notice: str
    short_edge: int | None = None  # texts up to so many tokens take little beside the longest

    @property
    def largest_batch_bytes(self) -> int | None:
        """The tensors of the largest batch that a worker computes, by plan's formulas."""
        known = (each.batch_bytes for each in self.classes if each.batch_bytes is not None)
        return max(known, default=None)


def explain(case: Case, settings: ServeSettings) -> Explanation:
    """Start the workers, look, and end them. Raises HonedError where they cannot start."""
    crew = Crew(served(case), settings)
    try:
        crew.equip(settings.max_length)
        longest = crew.longest
        started = crew.start(crew.places)
        model = model_of(started)
        started += crew.start(crew.express)
        record = crew.record(started)
        rules = rules_of(settings, model, longest, crew.case)
        classes = []
        for edge in model.edges(longest):
            rows, width = rules.full_rows(edge), rules.width(edge)
            batch_s = model.padded_s(rows, width)
            rate = len(crew.places) * rows / batch_s
            alone_s, batch_bytes = model.padded_s(1, width), _batch_bytes(crew, rows, width)
            classes.append(LengthClass(edge, alone_s, rows, batch_s, rate, batch_bytes))
        workers = tuple(
            WorkerPlace(each.seat.cpus, each.seat.threads,
                        memory.pss_bytes(each.worker.process.pid),
                        model.short_edge(longest) if each.seat in crew.express else None)
            for each in started
        )  # fmt: skip
        weights = started[0].ready.measured.load.weights_bytes
        notice = drift_notice(crew.case, crew.neighbour_cosine(started))
        return Explanation(
            record, crew.reserved, workers, weights, longest, rules.batch_tokens, tuple(classes),
            model.error, notice, model.short_edge(longest),
        )  # fmt: skip
    finally:
        crew.end_all()


def _batch_bytes(crew: Crew, rows: int, width: int) -> int | None:
    checkpoint = crew.checkpoint
    precision, shape = crew.case.precision, (rows, width)
    return least.call_bytes(checkpoint.config, checkpoint.task, precision, shape)
