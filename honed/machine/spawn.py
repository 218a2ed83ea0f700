"""Folds the machine's knobs into a child's start, applies them inside it, and reads them back."""

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
from honed.errors import HonedError, UnsupportedError, UsageError, did_you_mean
from honed.knob import Knob, SpawnEffect, Value
from honed.machine import kernel, limits

_ROOM = "honed.machine.knobs"


@dataclass(frozen=True, slots=True)
class Spawn:
    """How a child starts: its whole environment, and the calls it makes first."""

    environment: dict[str, str] = field(default_factory=dict)
    in_child: dict[str, Value] = field(default_factory=dict)


def machine_knobs() -> dict[str, Knob]:
    """Every knob that a file of this room declares in KNOBS, by name."""
    knobs = [knob for module in _modules() for knob in getattr(module, "KNOBS", ())]
    return {knob.name: knob for knob in sorted(knobs, key=lambda k: k.name)}


def fold(
    knob_values: Mapping[str, Value],
    environment: Mapping[str, str],
    knobs: Mapping[str, Knob] | None = None,
) -> Spawn:
    """The spawn-phase knobs' effects on top of the inherited environment.

    `knobs` are those that may be meant (the machine's, when not given); values of others are
    left to whoever applies them. A knob that is unset touches nothing.
    """
    known = machine_knobs() if knobs is None else knobs
    asked = {n: v for n, v in knob_values.items() if n in known and known[n].phase == "spawn"}
    effects = [_effect(known[name], value) for name, value in sorted(asked.items())]
    folded = dict(environment)
    in_child: dict[str, Value] = {}
    for effect in effects:
        for name, value in effect.environment.items():
            folded[name] = _merged(name, folded.get(name), value)
        in_child |= effect.in_child
    preload = [path for effect in effects for path in effect.preload]
    if preload:
        # The first one found wins a symbol, so what is asked for goes before what is inherited.
        inherited = folded.get("LD_PRELOAD", "").replace(" ", ":").split(":")
        folded["LD_PRELOAD"] = ":".join(dict.fromkeys([*preload, *filter(None, inherited)]))
    return Spawn(folded, in_child)


def _effect(knob: Knob, value: Value) -> SpawnEffect:
    if not knob.allows(value):
        words = [str(v) for v in knob.values] if isinstance(knob.values, tuple) else []
        near = did_you_mean(str(value), words)
        raise UsageError(
            f"{knob.name}={value} is not known", f"{near} known: {knob.choices}".strip()
        )
    checks = [knob.available()]
    if checks[0].ok and knob.available_value is not None:
        checks.append(knob.available_value(value))
    for check in checks:
        if not check.ok:
            raise UnsupportedError(f"{knob.name}={value}: {check.why}", check.how)
    return knob.spawn(value)


# Variables that hold several settings: what parts them, and what gives each its value.
_SHARED = {"GLIBC_TUNABLES": (":", "="), "MALLOC_CONF": (",", ":")}


def _merged(name: str, inherited: str | None, ours: str) -> str:
    """In a shared variable ours replace inherited settings of the same name only."""
    if name not in _SHARED or not inherited:
        return ours
    comma, equals = _SHARED[name]
    parts = (part.partition(equals) for part in f"{inherited}{comma}{ours}".split(comma) if part)
    settings = {key: value for key, _, value in parts}
    return comma.join(f"{key}{equals}{value}" for key, value in settings.items())


def apply_in_child(
    in_child: Mapping[str, Value], cpus: Collection[int] = ()
) -> list[dict[str, str]]:
    """First thing in the worker: make the calls; what was refused comes back as kind, message.

    `cpus` are the instance's (none: all that it may run on). The thread's own affinity does not
    tell: a preloaded OpenMP runtime may have tied it to one core already.
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


def read_back(asked: Iterable[str]) -> dict[str, Value | None]:
    """What is in force in this process, of the machine's knobs among `asked`; None: not known."""
    found: dict[str, Value | None] = {}
    for name, knob in machine_knobs().items():
        if name in set(asked):
            try:
                found[name] = knob.read_back()
            except OSError:  # a kernel that does not tell
                found[name] = None
    return found


def die_with_parent(parent_pid: int) -> None:
    """The kernel kills this process when the parent's starting thread ends, however it ends."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # a sandbox that refuses: the parent's own clean-up is left
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before we asked
        os.kill(os.getpid(), signal.SIGKILL)


@cache
def _modules() -> tuple[ModuleType, ...]:
    found = discovery.names(_ROOM)
    return tuple(importlib.import_module(f"{_ROOM}.{name}") for name in found)


def _calls() -> dict[str, Callable[[Value, Collection[int]], None]]:
    """The functions that files of this room offer to be called in the child, by name."""
    return {
        name: call
        for module in _modules()
        for name, call in getattr(module, "IN_CHILD", {}).items()
    }
