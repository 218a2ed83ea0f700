"""The space of this machine: from the knobs that its engines and it declare, never from a list.

Searched fields of a Case: `backend` and `precision` (together a branch, with knobs of its own),
`threads`, and, where throughput counts, `instances` and `batch_size`: for the latency of one call
both would answer another question. All its other fields say what is run, and stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.backends.base import UNLIKELY_RANK, comparable_backends, load_backend, traits
from honed.case import CORE_KEYS, PRECISIONS, Case
from honed.compose import Choice
from honed.errors import HonedError
from honed.knob import Knob, Span
from honed.knobs import all_knobs
from honed.machine import facts, limits, placement, topology
from honed.machine.isa import isa_ratio
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import locate
from honed.tune.ask import Ask
from honed.tune.space import Branch, Dimension, Pruned, Space, When, mine

_LARGEST_BATCH = 32
# More of anything that is counted (streams, arenas) than this times the cores has no user.
_PER_CORE = 2
_NARROW_FLOATS = ("bf16", "fp16")


def derive(ask: Ask) -> Space:
    """The space of this machine for what is asked; what cannot run here is named, not tried."""
    branches, pruned = _branches(ask)
    names = {b.backend for b in branches}
    found = [*_structure(ask), *_knobs(ask, names)]
    dimensions = []
    for dimension, why in found:
        values = _allowed(ask, dimension)
        if not ask.searches(dimension.key):
            pruned.append(Pruned(dimension.key, "search= leaves it out"))
        elif why:
            pruned.append(Pruned(dimension.key, why))
        elif len(values) > 1:
            kept = Dimension(dimension.key, values, dimension.ordered, dimension.when)
            dimensions.append(kept)
    limit = limits.read().memory_bytes or facts.machine_facts().get("memory_bytes")
    return Space(
        ask.base, branches, tuple(dimensions), tuple(pruned),
        int(limit) if limit else None, _weights_bytes(ask.base),
    )  # fmt: skip


def _branches(ask: Ask) -> tuple[tuple[Branch, ...], list[Pruned]]:
    """Engines x precisions, the most promising first; engines take turns within one promise."""
    flags = facts.machine_facts().get("flags", ())
    found: list[Branch] = []
    pruned: list[Pruned] = []
    for name in _choices(ask, "backend", comparable_backends(ask.base.backend)):
        backend = load_backend(str(name))
        if not (availability := backend.available()).ok and ask.base.python is None:
            pruned.append(Pruned(f"backend={name}", f"{availability.why}: {availability.how}"))
            continue
        for precision in _choices(ask, "precision", PRECISIONS):
            unlikely = traits(str(name)).expert_rank >= UNLIKELY_RANK and name != ask.base.backend
            promise = isa_ratio(str(precision), flags)
            branch = Branch(str(name), str(precision), promise, unlikely)
            why = _branch_refusal(ask, branch)
            if why is None:
                found.append(branch)
            elif precision in backend.PRECISIONS:
                pruned.append(Pruned(f"backend={name} precision={precision}", why))
    own = (ask.base.backend, ask.base.precision)
    found.sort(
        key=lambda b: (
            *(b.key != own, -b.promise, PRECISIONS.index(b.precision)),
            traits(b.backend).expert_rank,
        )
    )
    return tuple(found), pruned


def _choices(ask: Ask, key: str, every: Sequence[str]) -> Sequence[Choice]:
    """What the user left of it; the base's own where it is not searched."""
    if left := ask.allowed.get(key):
        return left
    return every if ask.searches(key) else (ask.base.get(key),)


def _branch_refusal(ask: Ask, branch: Branch) -> str | None:
    try:
        owners = {"", branch.backend, ask.base.workload}
        kept = {k: v for k, v in ask.base.to_json().items() if k in CORE_KEYS or mine(k, owners)}
        case = Case.from_json(kept | dict(branch.point))
        load_backend(branch.backend).check(case)
    except HonedError as error:
        return error.message
    if branch.precision in _NARROW_FLOATS and branch.promise <= 1 and case.device == "cpu":
        return f"this processor has no {branch.precision} products: it would emulate them"
    return None


def _structure(ask: Ask) -> Iterator[tuple[Dimension, str]]:
    """The fields of a Case that are searched as ordered numbers."""
    (all_cores,) = placement.place(topology.read(), limits.read(), placement.PlacementRequest())
    cores = len(all_cores.cpus)
    counts = sorted({1 << i for i in range(cores.bit_length()) if 1 << i <= cores} | {cores})
    yield Dimension("threads", (*counts, None), True, "search"), ""
    fixed = ask.base.total_batch is not None
    if ask.counts_throughput:
        yield Dimension("instances", tuple(counts), True, "search"), ""
        batches = tuple(1 << i for i in range(_LARGEST_BATCH.bit_length()))
        yield Dimension("batch_size", batches, True, "search"), "total_batch is given" * fixed
    else:
        why = "one call at a time is what latency asks about"
        for key in ("instances", "batch_size"):
            if len(ask.allowed.get(key, ())) > 1:
                own = tuple(ask.allowed[key])
                yield Dimension(key, own, True, "search"), ""
            elif key not in ask.allowed:
                yield Dimension(key, (1,), True, "search"), why


def _knobs(ask: Ask, backends: set[str]) -> Iterator[tuple[Dimension, str]]:
    """Every knob of the machine, of the inputs and of an engine that is searched."""
    pools = {traits(name).thread_pool for name in backends}
    for key, knob in all_knobs().items():
        if (knob.owner and knob.owner not in backends) or (knob.pool and knob.pool not in pools):
            continue
        ordered = isinstance(knob.values, Span)
        # Where spawning applies it and no engine owns it, it is the machine's.
        when: When = "polish" if not knob.owner and knob.phase != "load" else "search"
        yield Dimension(key, (None, *_values(knob)), ordered, when), _knob_refusal(ask, knob)


def _knob_refusal(ask: Ask, knob: Knob) -> str:
    if knob.phase == "system" and not ask.base.allow_system_changes:
        return "it changes the whole machine: --allow-system-changes"
    if not knob.owner and knob.phase == "load" and not _many_lengths(ask.base):
        return "all sequences are equally long"
    if not (found := knob.available()).ok:
        return found.why
    if moot := knob.moot():
        return moot
    if not _values(knob) and len(ask.allowed.get(knob.name, ())) < 2:
        return f"nothing orders {knob.choices}: name the values to try"
    return ""


def _many_lengths(base: Case) -> bool:
    return base.inputs is not None or base.get("lengths") is not None


def _values(knob: Knob) -> tuple[Choice, ...]:
    """The values to be had here; of a span its powers of two, or its decades."""
    if not isinstance(knob.values, Span):
        judge, here = knob.available_value, _here(knob)
        return tuple(v for v in knob.values if v != here and (judge is None or judge(v).ok))
    low, high = knob.values.low, knob.values.high
    if knob.scale == "nominal":
        return ()
    if knob.scale == "linear":
        decades = (10**i for i in range(len(str(high))))
        return tuple(dict.fromkeys([low, *(d for d in decades if low < d <= high)]))
    cores = limits.read().effective_count
    most = high if not knob.owner and knob.phase == "load" else min(high, _PER_CORE * cores)
    return tuple(1 << i for i in range(high.bit_length()) if low <= 1 << i <= most)


def _here(knob: Knob) -> Choice:
    """What a worker has that is asked for nothing: asking for it would change nothing."""
    if knob.owner or knob.phase != "spawn":
        return None
    try:
        return knob.read_back()
    except OSError:  # a kernel that does not tell
        return None


def _allowed(ask: Ask, dimension: Dimension) -> tuple[Choice, ...]:
    """What the user left of it, in the user's order."""
    left = ask.allowed.get(dimension.key)
    return dimension.values if left is None else tuple(left)


def _weights_bytes(base: Case) -> int | None:
    found = locate(ModelRequest.from_case(base))  # a model that is wrong says so here
    return None if found is None else found.weights_bytes
