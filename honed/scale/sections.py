"""What `honed scale` asks: a few sections, each a first setting and others held against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from honed.case import Case
from honed.knob import Knob, Value
from honed.machine.spawn import machine_knobs

_SPLIT_BATCH = 8  # the published batch-size scaling; more on machines with more cores


@dataclass(frozen=True, slots=True)
class Setting:
    """One bar or point: its name in the picture, and the Case that is measured."""

    label: str
    case: Case


@dataclass(frozen=True, slots=True)
class Section:
    """The first setting is what the others are held against.

    `metric` is what is compared: "latency" (less is better) or "throughput" (more is better).
    """

    name: str
    title: str
    axis: str
    metric: str
    settings: tuple[Setting, ...]


def sections(base: Case, cores: int) -> tuple[Section, ...]:
    """The sections that this machine can answer, for a Case whose knobs are the user's."""
    asked = (_cores(base, cores), _split(base, cores), _knob(base, cores, "allocator"),
             _knob(base, cores, "openmp"), _smt(base, cores))  # fmt: skip
    return tuple(s for s in asked if len(s.settings) > 1)


def _cores(base: Case, cores: int) -> Section:
    steps = sorted({1 << i for i in range(cores.bit_length())} | {cores})
    settings = tuple(Setting(str(n), base.replace(threads=n)) for n in steps if n <= cores)
    return Section("cores", "Core scaling", "cores", "latency", settings)


def _split(base: Case, cores: int) -> Section:
    """B sequences as one batch on all cores, or as B/N each on C/N cores."""
    total = max(_SPLIT_BATCH, 1 << (cores - 1).bit_length())
    counts = [n for n in (1 << i for i in range(total.bit_length())) if n <= min(cores, total)]
    settings = tuple(
        Setting(
            f"{n} x {total // n}", base.replace(total_batch=total, instances=n, threads=cores // n)
        )
        for n in counts
    )
    title = f"Batch-size scaling: {total} sequences split over instances"
    return Section("split", title, "instances x batch size", "throughput", settings)


def _knob(base: Case, cores: int, name: str) -> Section:
    """What is there already against every other value that is to be had here."""
    knob = machine_knobs()[name]
    here = knob.read_back()  # what a worker has that is asked for nothing
    values = [v for v in _values(knob) if v != here and _to_be_had(knob)(v)]
    settings = [Setting("as it is", base.replace(threads=cores))]
    settings += [Setting(str(v), base.replace(threads=cores, knobs={name: v})) for v in values]
    return Section(name, _TITLES[name], name, "latency", tuple(settings))


_TITLES = {"allocator": "Memory allocators", "openmp": "OpenMP runtimes"}


def _values(knob: Knob) -> tuple[Value, ...]:
    return knob.values if isinstance(knob.values, tuple) else ()


def _to_be_had(knob: Knob) -> Callable[[Value], bool]:
    if not knob.available().ok:
        return lambda _: False
    judge = knob.available_value
    return (lambda _: True) if judge is None else (lambda value: judge(value).ok)


def _smt(base: Case, cores: int) -> Section:
    from honed.machine import limits, topology

    shape = topology.read()
    siblings = any(len(core) > 1 for core in shape.cores())
    more = min(limits.read().effective_count, 2 * cores)
    settings = [Setting("cores only", base.replace(threads=cores))]
    if siblings and more > cores:
        settings.append(Setting("with siblings", base.replace(threads=more, knobs={"smt": "on"})))
    return Section("smt", "Second siblings (SMT)", "", "latency", tuple(settings))
