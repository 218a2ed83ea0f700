"""The JSON Schema of a YAML file of settings, so that an editor completes and checks it.

A file for `--config` may spell a knob of a backend flat (`torch.mode: compile`) or nested
(`torch: {mode: compile}`), and may give a list, `choice(...)` or `range(...)` for a sweep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from honed.backends.base import backend_names
from honed.case import CORE_FIELDS, CORE_KEYS
from honed.knob import Knob, Span, Text, Value
from honed.knobs import listed_knobs
from honed.workloads.base import workload_names

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SWEEP = {"type": "string", "pattern": r"^(choice|range)\(.*\)$"}
_SIZE = {"type": "string", "pattern": r"^[0-9.]+ ?([KMGTkmgt]i?[Bb]?|[Bb])$"}
# Keys whose values are the names of files of a folder.
_NAMES = {"backend": backend_names, "workload": workload_names}
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_SHARE = {"type": "string", "pattern": r"^[0-9.]+ ?%$"}
Schema = dict[str, Any]


def config_schema() -> Schema:
    """The schema of every key of a Case: its type, its values, its limits and its help line."""
    properties = {field.name: _key(_field(field), _help(field)) for field in CORE_FIELDS}
    by_owner: dict[str, dict[str, Schema]] = {}
    for name, knob in listed_knobs().items():
        properties[name] = _key(_knob(knob), knob.help)
        if knob.owner and knob.owner not in CORE_KEYS:  # model: NAME leaves no room for nesting
            short = name.removeprefix(f"{knob.owner}.")
            by_owner.setdefault(knob.owner, {})[short] = properties[name]
    nested = {
        owner: {"type": "object", "properties": keys, "additionalProperties": False}
        for owner, keys in by_owner.items()
    }
    return {
        "$schema": _DIALECT,
        "title": "Settings of honed",
        "description": "A file for --config of honed run, tune and compare.",
        "type": "object",
        "properties": properties | nested,
        "additionalProperties": False,
    }


def _key(alternatives: Sequence[Schema], help: str) -> Schema:
    """One value, a list of values, or the grammar's words for a sweep."""
    one = [*alternatives]
    return {
        "description": help,
        "anyOf": [*one, _SWEEP, {"type": "array", "items": {"anyOf": one}}],
    }


def _field(field: dataclasses.Field[Any]) -> list[Schema]:
    limits = field.metadata
    name, _, optional = str(field.type).partition(" | ")
    plain: Schema = {"type": _TYPES[name]}
    if name == "str":
        plain["minLength"] = 1
    if "values" in limits:
        plain["enum"] = list(limits["values"])
    if field.name in _NAMES:
        plain["enum"] = list(_NAMES[field.name]())
    for limit, keyword in (
        ("at_least", "minimum"), ("above", "exclusiveMinimum"), ("below", "exclusiveMaximum")
    ):  # fmt: skip
        if limit in limits:
            plain[keyword] = limits[limit]
    alternatives = [plain]
    if limits.get("share"):
        alternatives.append(_SHARE)
    if limits.get("size"):  # memory is a truth value or a size, the others are sizes
        alternatives = [*(a for a in alternatives if a["type"] != "string"), _SIZE]
    return [*alternatives, {"type": "null"}] if optional else alternatives


def _help(field: dataclasses.Field[Any]) -> str:
    return str(field.metadata["help"])


def _knob(knob: Knob) -> list[Schema]:
    if isinstance(knob.values, Span):
        limits = {"minimum": knob.values.low, "maximum": knob.values.high}
        return [{"type": "integer", **limits}, {"type": "null"}]
    if isinstance(knob.values, Text):
        return [{"type": "string", "minLength": 1}, {"type": "null"}]
    others = [{"type": "string", "pattern": f"^{knob.others}$"}] if knob.others else []
    return [{"enum": [*knob.values, *_yaml_truths(knob.values), None]}, *others]


def _yaml_truths(values: Sequence[Value]) -> list[Value]:
    """YAML reads the words on and off as truth values."""
    return [truth for truth, word in ((True, "on"), (False, "off")) if word in values]
