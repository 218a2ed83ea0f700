"""The search space of this machine, built from the knobs that engines and the machine declare.

These fields of a Case are searched: `backend` and `precision` (together a branch, which has knobs
of its own), `threads`, and, where throughput counts, `instances` and `batch_size`; for the latency
of one call these two would answer another question; for a server also `sizes`. All other fields
say what is run, and stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from honed.backends.base import UNLIKELY_RANK, comparable_backends, load_backend, traits
from honed.case import PRECISIONS, Case
from honed.compose import Choice
from honed.errors import HonedError
from honed.knob import Knob, Span, Text
from honed.knobs import all_knobs
from honed.machine import facts, limits, placement, topology
from honed.machine.isa import isa_ratio
from honed.machine.spawn import in_force
from honed.measures import LIMITS
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate
from honed.plan.least import Least, least
from honed.sizes import usual
from honed.tune.policy import POLICY
from honed.tune.question import Question
from honed.tune.space import Branch, Dimension, Pruned, Space, When, case_with
from honed.units import size_bytes

_NARROW_FLOATS = ("bf16", "fp16")


def build_space(question: Question) -> Space:
    """What cannot run here is listed with its reason in `pruned`."""
    branches, pruned = _branches(question)
    names = {b.backend for b in branches}
    dimensions = []
    for dimension, why_not in [*_structure(question), *_knobs(question, names)]:
        values = question.allowed.get(dimension.key, dimension.values)
        if not question.searches(dimension.key):
            pruned.append(Pruned(dimension.key, "search= leaves it out"))
        elif why_not:
            pruned.append(Pruned(dimension.key, why_not))
        elif len(values) > 1:
            dimensions.append(Dimension(dimension.key, values, dimension.ordered, dimension.when))
    checkpoint = locate(ModelRequest.from_case(question.base))
    planned = Least()
    if checkpoint is not None:
        length = question.base.sequence_length if _is_one_length(question.base) else 0
        planned = least(checkpoint.config, checkpoint.weights_bytes, length)
    space = Space(
        question.base, branches, tuple(dimensions), tuple(pruned), _memory_bytes(question),
        planned.weights_bytes or None, planned.sequence_elements,
    )  # fmt: skip
    return _without_too_large(space)


def _without_too_large(space: Space) -> Space:
    """Without the branches that cannot fit with one sequence. The default stays: it is measured
    whatever is expected of it."""
    base = space.base
    left, pruned = [], []
    for branch in space.branches:
        why = space.too_large(case_with(base, {**branch.setting, "batch_size": 1}))
        if why is None or branch.key == (base.backend, base.precision):
            left.append(branch)
        else:
            what = f"backend={branch.backend} precision={branch.precision}"
            pruned.append(Pruned(what, why))
    return replace(space, branches=tuple(left), pruned=(*space.pruned, *pruned))


def _is_one_length(case: Case) -> bool:
    """Whether every sequence is as long as the Case says."""
    return case.inputs is None and case.lengths is None


def _memory_bytes(question: Question) -> int | None:
    """What all instances may take: the machine's or container's memory, or less where the Case or
    a limit of the study says so; None where nothing tells."""
    machine_bytes = limits.read().memory_bytes or facts.machine_facts().get("memory_bytes")
    known = [int(machine_bytes)] if machine_bytes else []
    if question.base.memory_limit is not None:
        known.append(size_bytes(question.base.memory_limit))
    for bound in question.bounds:
        if bound.measure.name == "memory" and bound.sign.startswith("<"):
            known.append(int(bound.bound / LIMITS[bound.name][1]))
    return min(known, default=None)


def _branches(question: Question) -> tuple[tuple[Branch, ...], list[Pruned]]:
    """Engines x precisions, the most promising first; engines take turns within one promise."""
    base, flags = question.base, facts.machine_facts().get("flags", ())
    branches: list[Branch] = []
    pruned: list[Pruned] = []
    for name in _choices(question, "backend", comparable_backends(base.backend)):
        backend = load_backend(str(name))
        if not (availability := backend.available()).ok and base.python is None:
            pruned.append(Pruned(f"backend={name}", f"{availability.why}: {availability.how}"))
            continue
        unlikely = traits(str(name)).expert_rank >= UNLIKELY_RANK and name != base.backend
        for precision in _choices(question, "precision", PRECISIONS):
            promise = isa_ratio(str(precision), flags)
            branch = Branch(str(name), str(precision), promise, unlikely)
            why_not = _branch_refusal(base, branch)
            if why_not is None:
                branches.append(branch)
            elif precision in backend.PRECISIONS:
                pruned.append(Pruned(f"backend={name} precision={precision}", why_not))

    def order(branch: Branch) -> tuple[bool, float, int, int]:
        return (
            branch.key != (base.backend, base.precision),
            -branch.promise,
            PRECISIONS.index(branch.precision),
            traits(branch.backend).expert_rank,
        )

    return tuple(sorted(branches, key=order)), pruned


def _choices(question: Question, key: str, every: Sequence[str]) -> Sequence[Choice]:
    """The values that the user left; the value of the base where the key is not searched."""
    if allowed := question.allowed.get(key):
        return allowed
    return every if question.searches(key) else (question.base.get(key),)


def _branch_refusal(base: Case, branch: Branch) -> str | None:
    try:
        case = case_with(base, branch.setting)
        load_backend(branch.backend).check(case)
    except HonedError as error:
        return error.message
    if branch.precision in _NARROW_FLOATS and branch.promise <= 1 and case.device == "cpu":
        return f"this processor has no {branch.precision} products: it would emulate them"
    return None


def _structure(question: Question) -> Iterator[tuple[Dimension, str]]:
    """The fields of a Case that are searched as ordered numbers, each with a reason against it."""
    (all_cores,) = placement.place(topology.read(), limits.read(), placement.PlacementRequest())
    cores = len(all_cores.cpus)
    counts = sorted({1 << i for i in range(cores.bit_length()) if 1 << i <= cores} | {cores})
    given = "" if question.base.sizes is None else "sizes is given"
    yield Dimension("threads", (*counts, None), True, "search"), given
    if question.counts_throughput:
        yield Dimension("instances", tuple(counts), True, "search"), given
        if question.clients is not None:
            yield _sizes(question, cores)
        batches = tuple(1 << i for i in range(POLICY.largest_batch.bit_length()))
        why_not = "" if question.base.total_batch is None else "total_batch is given"
        yield Dimension("batch_size", batches, True, "search"), why_not
        return
    for key in ("instances", "batch_size"):
        if len(question.allowed.get(key, ())) > 1:
            yield Dimension(key, question.allowed[key], True, "search"), ""
        elif key not in question.allowed:
            why_not = "one call at a time is what latency asks about"
            yield Dimension(key, (1,), True, "search"), why_not


def _sizes(question: Question, cores: int) -> tuple[Dimension, str]:
    """Instances of different sizes, for a server, which gives each the lengths that it is for."""
    divisions, why_not = usual(cores), ""
    if question.base.sizes is not None:
        why_not = "sizes is given"
    elif _is_one_length(question.base):
        why_not = "all texts are equally long"
    elif not divisions:
        why_not = f"{cores} cores divide into equal instances only"
    return Dimension("sizes", (None, *divisions), False, "search"), why_not


def _knobs(question: Question, backends: set[str]) -> Iterator[tuple[Dimension, str]]:
    """Every knob of the machine, of the inputs and of an engine that is searched."""
    pools = {traits(name).thread_pool for name in backends}
    for key, knob in all_knobs().items():
        if knob.of == "question":
            continue
        if (knob.owner and knob.owner not in backends) or (knob.pool and knob.pool not in pools):
            continue
        when: When = "polish" if knob.of == "machine" else "search"
        dimension = Dimension(key, (None, *_values(knob)), isinstance(knob.values, Span), when)
        yield dimension, _knob_refusal(question, knob)


def _knob_refusal(question: Question, knob: Knob) -> str:
    base = question.base
    if knob.phase == "system" and not base.allow_system_changes:
        return "it changes the whole machine: --allow-system-changes"
    if refusal := _shape_refusal(question, knob):
        return refusal
    if not (availability := knob.available()).ok:
        return availability.why
    if moot := knob.moot():
        return moot
    if not _values(knob) and len(question.allowed.get(knob.name, ())) < 2:
        return f"nothing orders {knob.choices}: name the values to try"
    return ""


def _shape_refusal(question: Question, knob: Knob) -> str:
    """Why a knob has no effect, or cannot be used, with calls of these shapes."""
    is_one_length = _is_one_length(question.base)
    if knob.of == "inputs" and is_one_length:
        return "all sequences are equally long"
    if knob.one_shape and not is_one_length:
        return "sequences have many lengths"
    if knob.one_shape and question.clients is not None:
        return "the batches of a server have many shapes"
    return ""


def _values(knob: Knob) -> tuple[Choice, ...]:
    """The values that are available here; of a span its powers of two, or its decades."""
    if isinstance(knob.values, Text):
        return ()
    if not isinstance(knob.values, Span):
        # What a worker has when the knob is unset: searching it again would repeat the default.
        unset = in_force(knob) if knob.of == "machine" and knob.phase == "spawn" else None
        return tuple(value for value in knob.values_here() if value != unset)
    low, high = knob.values.low, knob.values.high
    if knob.scale == "nominal":
        return ()
    if knob.scale == "linear":
        decades = (10**i for i in range(len(str(high))))
        return tuple(dict.fromkeys([low, *(d for d in decades if low < d <= high)]))
    if knob.of != "inputs":
        high = min(high, POLICY.per_core * limits.read().effective_count)
    return tuple(1 << i for i in range(high.bit_length()) if low <= 1 << i <= high)
