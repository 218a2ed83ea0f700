"""How to reproduce a recommendation: the command, the environment file, the Python snippet."""

from __future__ import annotations

from dataclasses import dataclass

from honed import length_spec
from honed.backends.base import traits
from honed.case import CORE_FIELDS, Case
from honed.errors import HonedError
from honed.knob import Value
from honed.knobs import applicable_knobs
from honed.machine.spawn import fold
from honed.values import as_override, in_bash


@dataclass(frozen=True, slots=True)
class Recipe:
    """Three ways to the same setting. `environment` is empty where nothing is set before the
    process starts."""

    command: str
    environment: str
    python: str


def recipe(case: Case) -> Recipe:
    """Keys that are untouched are left out."""
    typed = " ".join(map(in_bash, words(case)))
    knobs = dict(case.knobs)
    fields = [f"    {k}={v!r}," for k, v in _changed(case).items() if k not in knobs]
    fields += [f"    knobs={knobs!r},"] if knobs else []
    python = ["import honed", "", "record = honed.run(honed.Case(", *fields, "))"]
    return Recipe(f"honed run {typed}", _environment(case), "\n".join(python))


def words(case: Case) -> list[str]:
    """The Case as words that compose reads back."""
    return [f"{k}={_override(k, v)}" for k, v in _changed(case).items()]


def _override(key: str, value: Value) -> str:
    """Lengths are read without the override grammar, so that their brackets need no quotes in it.
    A file's name may have a comma, which would separate two distributions."""
    text = str(value)
    if key == "lengths" and length_spec.swept(text) == [text]:
        return text
    return as_override(value)


def _changed(case: Case) -> dict[str, Value]:
    """Every key whose value is not the default."""
    defaults = {f.name: f.default for f in CORE_FIELDS}
    changed = {k: v for k, v in case.to_json().items() if v is not None and defaults.get(k) != v}
    if case.total_batch is not None:
        changed.pop("batch_size", None)  # it follows from total_batch and instances
    if case.sizes is not None:
        changed.pop("instances", None)  # it follows from sizes
    return changed


def _environment(case: Case) -> str:
    """A file of NAME=value lines, for systemd, Docker or `set -a; . FILE`."""
    try:
        effects = fold(case.knobs, {}, applicable_knobs(case))
    except HonedError as error:  # recommended on another machine than this one
        return f"# {error.message}"
    lines = dict(effects.environment)
    if case.threads is not None:
        for variable in traits(case.backend).thread_variables:
            lines.setdefault(variable, str(case.threads))
    if "LD_PRELOAD" in lines:
        lines |= traits(case.backend).preload_environment
    notes = [f"# set in the process itself: {k}={v}" for k, v in effects.in_child.items()]
    return "\n".join([*(f"{k}={v}" for k, v in sorted(lines.items())), *notes])
