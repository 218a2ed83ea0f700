"""The machine's knobs in a worker: its environment, its first calls, the values in force."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType

from honed import discovery
from honed.errors import HonedError, UnsupportedError
from honed.knob import Knob, SpawnEffect, Value, unknown_value
from honed.machine import kernel, limits

_ROOM = "honed.machine.knobs"


@dataclass(frozen=True, slots=True)
class Spawn:
    """The whole environment of a worker, and the calls that it makes first."""

    environment: dict[str, str] = field(default_factory=dict)
    in_child: dict[str, Value] = field(default_factory=dict)


def machine_knobs() -> dict[str, Knob]:
    """The knobs that the files of `machine/knobs` declare, by name."""
    knobs = [knob for module in _modules() for knob in getattr(module, "KNOBS", ())]
    return {knob.name: knob for knob in sorted(knobs, key=lambda k: k.name)}


def fold(
    knob_values: Mapping[str, Value],
    environment: Mapping[str, str],
    knobs: Mapping[str, Knob] | None = None,
) -> Spawn:
    """The effects of spawn-phase knobs, added to the inherited environment.

    `knobs` (by default, the machine's) are applied here; the values of other knobs are ignored,
    because a backend or a workload applies them. A knob without a value changes nothing.
    """
    known = machine_knobs() if knobs is None else knobs
    values = {n: v for n, v in knob_values.items() if n in known and known[n].phase == "spawn"}
    effects = [_effect(known[name], value) for name, value in sorted(values.items())]
    folded = dict(environment)
    in_child: dict[str, Value] = {}
    for effect in effects:
        for name, value in effect.environment.items():
            folded[name] = _merged(name, folded.get(name), value)
        in_child |= effect.in_child
    preload = [path for effect in effects for path in effect.preload]
    if preload:
        # The first library with a symbol provides it, so the knobs' libraries go first.
        inherited = folded.get("LD_PRELOAD", "").replace(" ", ":").split(":")
        folded["LD_PRELOAD"] = ":".join(dict.fromkeys([*preload, *filter(None, inherited)]))
    return Spawn(folded, in_child)


def _effect(knob: Knob, value: Value) -> SpawnEffect:
    if not knob.allows(value):
        raise unknown_value(knob, value)
    checks = [knob.available()]
    if checks[0].ok and knob.available_value is not None:
        checks.append(knob.available_value(value))
    for check in checks:
        if not check.ok:
            raise UnsupportedError(f"{knob.name}={value}: {check.why}", check.how)
    return knob.spawn(value)


# Variables that hold several settings: the separators between settings, and inside a setting.
_SHARED = {"GLIBC_TUNABLES": (":", "="), "MALLOC_CONF": (",", ":")}


def _merged(name: str, inherited: str | None, ours: str) -> str:
    """The value of a variable; one that holds several settings keeps the inherited others."""
    if name not in _SHARED or not inherited:
        return ours
    comma, equals = _SHARED[name]
    parts = (part.partition(equals) for part in f"{inherited}{comma}{ours}".split(comma) if part)
    settings = {key: value for key, _, value in parts}
    return comma.join(f"{key}{equals}{value}" for key, value in settings.items())


def apply_in_child(
    in_child: Mapping[str, Value], cpus: Collection[int] = ()
) -> list[dict[str, str]]:
    """Make the calls of `in_child`, first of all in the worker; return a note for each refusal.

    `cpus` are the CPUs of the instance (empty: all that the thread may run on). The affinity of
    the thread cannot replace them: a preloaded OpenMP runtime may have bound it to one core.
    """
    calls = _calls()
    notes = []
    for name, value in in_child.items():
        try:
            calls[name](value, cpus or limits.own_affinity())
        except (HonedError, OSError) as error:
            hint = f"; {error.hint}" if isinstance(error, HonedError) and error.hint else ""
            notes.append({"kind": f"{name}_refused", "message": f"{error}{hint}"})
    return notes


def read_back(names: Iterable[str]) -> dict[str, Value | None]:
    """The value in force in this process of each machine knob in `names`; None if not known."""
    wanted = set(names)
    return {name: in_force(knob) for name, knob in machine_knobs().items() if name in wanted}


def in_force(knob: Knob) -> Value | None:
    """The value that the knob has in this process; None if the kernel does not tell."""
    try:
        return knob.read_back()
    except OSError:
        return None


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process when the thread of the parent that started it ends."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # where a sandbox refuses, the parent still cleans up
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent died before the call
        os.kill(os.getpid(), signal.SIGKILL)


@cache
def _modules() -> tuple[ModuleType, ...]:
    return tuple(importlib.import_module(f"{_ROOM}.{name}") for name in discovery.names(_ROOM))


def _calls() -> dict[str, Callable[[Value, Collection[int]], None]]:
    """The functions that a worker may call, by name, from the IN_CHILD tables of the knobs."""
    return {
        name: call
        for module in _modules()
        for name, call in getattr(module, "IN_CHILD", {}).items()
    }
