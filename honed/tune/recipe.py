"""What reproduces a recommendation: the command, the environment file, the Python snippet."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from honed.backends.base import traits
from honed.case import CORE_FIELDS, Case
from honed.errors import HonedError
from honed.knob import Value
from honed.knobs import applicable_knobs
from honed.machine.spawn import fold


@dataclass(frozen=True, slots=True)
class Recipe:
    """Three ways to the same setting. `environment` is empty where nothing is set before the
    process starts."""

    command: str
    environment: str
    python: str


def recipe(case: Case) -> Recipe:
    """For a Case as it is run; what is untouched is not said."""
    said = _said(case)
    typed = " ".join(shlex.quote(word) for word in words(case))
    knobs = {k: v for k, v in case.knobs.items() if k in said}
    fields = [f"    {k}={v!r}," for k, v in said.items() if k not in knobs]
    fields += [f"    knobs={knobs!r},"] if knobs else []
    python = ["import honed", "", "record = honed.run(honed.Case(", *fields, "))"]
    return Recipe(f"honed run {typed}", _environment(case), "\n".join(python))


def words(case: Case) -> list[str]:
    """The Case as words that compose reads back."""
    return [f"{k}={_word(v)}" for k, v in _said(case).items()]


def _said(case: Case) -> dict[str, Value]:
    plain = {f.name: f.default for f in CORE_FIELDS}
    found = {k: v for k, v in case.to_json().items() if v is not None and plain.get(k) != v}
    if case.total_batch is not None:
        found.pop("batch_size", None)  # it follows
    return found


def _word(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not re.fullmatch(r"[\w./@+-]+", value):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return str(value)


def _environment(case: Case) -> str:
    """A file of NAME=value lines, for systemd, Docker or `set -a; . FILE`."""
    try:
        found = fold(case.knobs, {}, applicable_knobs(case))
    except HonedError as error:  # recommended on another machine than this one
        return f"# {error.message}"
    lines = dict(found.environment)
    if case.threads is not None:
        for variable in traits(case.backend).thread_variables:
            lines.setdefault(variable, str(case.threads))
    if "LD_PRELOAD" in lines:
        lines |= traits(case.backend).preload_environment
    notes = [f"# set in the process itself: {k}={v}" for k, v in found.in_child.items()]
    return "\n".join([*(f"{k}={v}" for k, v in sorted(lines.items())), *notes])
