"""The sections of `honed scale`: in each, several settings are compared with the first one."""

from __future__ import annotations

from dataclasses import dataclass

from honed.case import Case
from honed.experiment.draw import Metric
from honed.machine import limits, topology
from honed.machine.spawn import machine_knobs

_TITLES = {"allocator": "Memory allocators", "openmp": "OpenMP runtimes"}
_SPLIT_BATCH = 8  # the published batch-size scaling; more on machines with more cores


@dataclass(frozen=True, slots=True)
class ScaleSetting:
    """One bar of the picture: its label, and the Case that is measured."""

    label: str
    case: Case


@dataclass(frozen=True, slots=True)
class Section:
    """Settings of which the others are compared with the first, by latency or by throughput."""

    name: str
    title: str
    axis: str
    metric: Metric
    settings: tuple[ScaleSetting, ...]


def sections(base: Case, cores: int) -> tuple[Section, ...]:
    """The sections that this machine can answer. `base` is the Case that the user asked for."""
    candidates = (_cores(base, cores), _split(base, cores), _knob(base, cores, "allocator"),
             _knob(base, cores, "openmp"), _smt(base, cores))  # fmt: skip
    return tuple(s for s in candidates if len(s.settings) > 1)


def _cores(base: Case, cores: int) -> Section:
    steps = sorted({1 << i for i in range(cores.bit_length())} | {cores})
    settings = tuple(ScaleSetting(str(n), base.replace(threads=n)) for n in steps if n <= cores)
    return Section("cores", "Core scaling", "cores", "latency", settings)


def _split(base: Case, cores: int) -> Section:
    """B sequences as one batch on all C cores, or split over N instances of C/N cores each."""
    total = max(_SPLIT_BATCH, 1 << (cores - 1).bit_length())
    counts = [n for n in (1 << i for i in range(total.bit_length())) if n <= min(cores, total)]
    settings = tuple(
        ScaleSetting(
            f"{n} x {total // n}", base.replace(total_batch=total, instances=n, threads=cores // n)
        )
        for n in counts
    )
    title = f"Batch-size scaling: {total} sequences split over instances"
    return Section("split", title, "instances x batch size", "throughput", settings)


def _knob(base: Case, cores: int, name: str) -> Section:
    """Compare the default value with every other value that is available on this machine."""
    knob = machine_knobs()[name]
    default = knob.read_back()  # the value that a worker has when the knob is unset
    values = [value for value in knob.values_here() if value != default]
    plain = base.replace(threads=cores)
    settings = [ScaleSetting(str(v), plain.replace(knobs={name: v})) for v in values]
    settings.insert(0, ScaleSetting("as it is", plain))
    return Section(name, _TITLES[name], name, "latency", tuple(settings))


def _smt(base: Case, cores: int) -> Section:
    siblings = any(len(core) > 1 for core in topology.read().cores())
    more = min(limits.read().effective_count, 2 * cores)
    settings = [ScaleSetting("cores only", base.replace(threads=cores))]
    if siblings and more > cores:
        with_siblings = base.replace(threads=more, knobs={"smt": "on"})
        settings.append(ScaleSetting("with siblings", with_siblings))
    return Section("smt", "Second siblings (SMT)", "", "latency", tuple(settings))
