"""The skill file for agents, made from the verbs and the knobs of this honed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import honed
from honed.case import CORE_KEYS
from honed.knobs import known_keys, owner_of
from honed.measures import COMPARED, LIMITS, OBJECTIVES
from honed.record import STATUSES

NAME = "honed"
_DESCRIPTION = (
    "Measure, compare, tune and plan transformer inference and training on this machine with the "
    "honed command line. Use it for questions about the latency, throughput, memory or cost of "
    "BERT-like encoders and small language models on CPUs, for choosing an engine, a precision or "
    "threads, and for checking whether a change made a model slower."
)


def skill(verbs: Mapping[str, str]) -> str:
    """The text of SKILL.md. `verbs`: the name of each verb with its line of help."""
    failures = ", ".join(f"`{status}`" for status in STATUSES if status != "ok")
    parts = {
        "@VERSION@": honed.__version__,
        "@STATUSES@": failures,
        "@OBJECTIVES@": _code(OBJECTIVES),
        "@COMPARED@": _code(COMPARED),
        "@LIMITS@": _code(LIMITS),
    }
    guide = Path(__file__).with_name("guide.md").read_text("utf-8")
    for name, value in parts.items():
        guide = guide.replace(name, value)
    lines = [f"- `honed {name}`: {help}" for name, help in verbs.items()]
    return "\n".join([
        "---", f"name: {NAME}", f"description: {_DESCRIPTION}", "---", "", guide,
        "## Every verb (`honed VERB --help` lists its options)", "", *lines, "", *_settings(),
    ])  # fmt: skip


def _settings() -> list[str]:
    """A section for the settings of every Case, and one for each owner of further ones."""
    sections: dict[str, list[str]] = {}
    for key, help in known_keys().items():
        owner = "every case" if key in CORE_KEYS else owner_of(key) or "machine, inputs, workload"
        sections.setdefault(owner, []).append(f"- `{key}`: {help}")
    lines = ["## Every setting", ""]
    for owner, settings in sections.items():
        lines += [f"### {owner}", "", *settings, ""]
    return lines


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
