"""What a server would be: its workers, its memory, its length classes and its greatest rate.

The workers are started, proven and timed as for serving, and ended again; nothing listens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from honed.case import Case
from honed.instruments import memory
from honed.plan import least
from honed.record import Record
from honed.serve.crew import Crew, Started, drift_notice, left_out_notice, served
from honed.serve.groups import Group, groups_of
from honed.serve.settings import ServeSettings


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """One worker: its cores (empty: unpinned), its threads, its proportional memory, and the
    tokens of its texts: more than `over`, and `up_to` at most (None: any)."""

    cpus: tuple[int, ...]
    threads: int | None
    pss_bytes: int | None
    up_to: int | None = None
    over: int = 0


@dataclass(frozen=True, slots=True)
class LengthClass:
    """Texts up to `tokens`: the seconds of one alone, the texts of a full batch and its seconds,
    and how many such texts the workers whose texts they are compute in a second.

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
        groups = groups_of(crew.case, settings, started, longest)
        started += crew.start(crew.express)
        record = crew.record(started)
        model, rules = groups[-1].model, groups[-1].rules
        classes = [each for group in groups for each in _classes(crew, group)]
        workers = tuple(_place(crew, groups, each) for each in started)
        weights = started[0].ready.measured.load.weights_bytes
        drift = drift_notice(crew.case, crew.neighbour_cosine(started))
        notice = "\n".join(filter(None, (left_out_notice(case), drift)))
        return Explanation(
            record, crew.reserved, workers, weights, longest, rules.batch_tokens, tuple(classes),
            max(group.model.error for group in groups), notice, model.short_edge(longest),
        )  # fmt: skip
    finally:
        crew.end_all()


def _classes(crew: Crew, group: Group) -> Iterator[LengthClass]:
    """The length classes of a group's texts."""
    model, rules, longest = group.model, group.rules, crew.longest
    last = group.up_to or longest
    for edge in sorted({*model.edges(longest), last}):
        if not group.over < edge <= last:
            continue
        rows, width = rules.full_rows(edge), rules.width(edge)
        batch_s = model.padded_s(rows, width)
        rate = group.workers * rows / batch_s
        alone_s, batch_bytes = model.padded_s(1, width), _batch_bytes(crew, rows, width)
        yield LengthClass(edge, alone_s, rows, batch_s, rate, batch_bytes)


def _place(crew: Crew, groups: Sequence[Group], of: Started) -> WorkerPlace:
    seat, pss_bytes = of.seat, memory.pss_bytes(of.worker.process.pid)
    if seat in crew.express:
        up_to = groups[-1].model.short_edge(crew.longest)
        return WorkerPlace(seat.cpus, seat.threads, pss_bytes, up_to)
    group = next(each for each in groups if each.cores == seat.threads)
    return WorkerPlace(seat.cpus, seat.threads, pss_bytes, group.up_to, group.over)


def _batch_bytes(crew: Crew, rows: int, width: int) -> int | None:
    checkpoint = crew.checkpoint
    precision, shape = crew.case.precision, (rows, width)
    return least.call_bytes(checkpoint.config, checkpoint.task, precision, shape)
