"""Words to Cases: Hydra's override grammar and YAML files over the Case's structured config.

A comma list, `choice()` or `range()` sweeps; the last one written varies fastest.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from honed import length_spec
from honed.backends.base import backend_names, load_backend
from honed.case import CORE_FIELDS, CORE_KEYS, Case
from honed.errors import UsageError, did_you_mean
from honed.knob import Span, Value
from honed.knobs import all_knobs
from honed.models.draw_lengths import longest
from honed.models.knobs import padding
from honed.units import share
from honed.workloads.base import load_workload, workload_names

Choice = Value | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Cases in the order they run, and the keys that differ between them."""

    cases: tuple[Case, ...]
    varying: tuple[str, ...]


def compose(words: Sequence[str], config: Path | None = None) -> Sweep:
    """The Cases that `config` (YAML) and then `words` (key=value) describe.

    Raises UsageError, with the nearest names, for a key or value that does not exist.
    """
    choices: dict[str, list[Choice]] = {}
    if config is not None:
        choices.update(_from_yaml(config))
    return _sweep(choices, words)


def change(case: Case, words: Sequence[str]) -> Sweep:
    """`case` with `words` changed; knobs of an engine or workload that goes, go with it."""
    changed = dict(_parsed(words))
    owners = {"", *changed.get("backend", [case.backend])}
    owners |= {*changed.get("workload", [case.workload])}
    stays = {k: v for k, v in case.to_json().items() if k in CORE_KEYS or _owner(k) in owners}
    if changed.get("lengths", [None]) != [None]:
        stays.pop("sequence_length")  # it was that of other sequences
    return _sweep({k: [v] for k, v in stays.items()}, words)


def asked(words: Sequence[str], config: Path | None = None) -> dict[str, list[Choice]]:
    """Every key that is said with all its values, checked; no Case is made of them yet."""
    return _joined({} if config is None else _from_yaml(config), words)


def _joined(choices: dict[str, list[Choice]], words: Sequence[str]) -> dict[str, list[Choice]]:
    for key, values in _parsed(words):
        choices.pop(key, None)  # a word typed later takes the later place in the order
        choices[key] = values
    for key, values in choices.items():
        choices[key] = [_checked(key, v) for v in values]
    _knows_owners(choices)
    return choices


def _sweep(said: dict[str, list[Choice]], words: Sequence[str]) -> Sweep:
    choices = _joined(said, words)
    keys = list(choices)
    cases = [
        _case(dict(zip(keys, picked, strict=True)))
        for picked in itertools.product(*choices.values())
    ]
    varying = tuple(k for k, v in choices.items() if len(v) > 1)
    return Sweep(tuple(dict.fromkeys(cases)), varying)


def _parsed(words: Sequence[str]) -> Iterator[tuple[str, list[Choice]]]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for word in words:
        if word.startswith("lengths="):  # to Hydra, uniform(8,512) is a function it does not know
            yield "lengths", _lengths(word.removeprefix("lengths="))
            continue
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            raise _unreadable(word, str(error)) from None
        if override.type is None or override.key_or_group is None or override.package:
            raise _unreadable(word, "only key=value is understood")
        if override.type.name != "CHANGE":
            raise _unreadable(word, "keys cannot be added or removed, only set")
        key = override.key_or_group
        if override.is_sweep_override():
            yield key, [_plain(key, v) for v in override.sweep_iterator()]
        else:
            yield key, [_plain(key, override.value())]


def _unreadable(word: str, why: str) -> UsageError:
    reason = why.strip().splitlines()[0]
    hint = "write key=value; put quotes around a value with commas, brackets or equals signs"
    if "=" not in word:
        hint = f"write key=value, for example model={word}"
    elif word.startswith("sequence_length=") and length_spec.looks_like(word.partition("=")[2]):
        hint = f"lengths={word.partition('=')[2]}"
    return UsageError(f"cannot read {word!r}: {reason}", hint)


def _lengths(text: str) -> list[Choice]:
    return [None if part in ("null", "") else part for part in length_spec.swept(text)]


def _plain(key: str, value: Any) -> Choice:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value).__name__ == "QuotedString":
        return str(value.text)
    raise UsageError(f"{key} takes one plain value, not {value}", f"to sweep, write {key}=a,b,c")


def _from_yaml(path: Path) -> dict[str, list[Choice]]:
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        loaded = OmegaConf.load(path)
        plain = OmegaConf.to_container(loaded, resolve=True)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check --config") from None
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{path} is not valid YAML: {reason}", "one `key: value` a line"
        ) from None
    if not isinstance(loaded, DictConfig) or not isinstance(plain, dict):
        raise UsageError(f"{path} is not a mapping", "one `key: value` a line")
    found: dict[str, list[Choice]] = {}
    for key, value in _flat("", plain):
        if key == "lengths":  # in a YAML list the commas inside brackets part items too
            parts = value if isinstance(value, list) else [value]
            found[key] = _lengths(",".join("null" if p is None else str(p) for p in parts))
        elif isinstance(value, list):
            found[key] = [_plain(key, v) for v in value]
        elif isinstance(value, str) and value.startswith(("choice(", "range(")):
            found |= dict(_parsed([f"{key}={value}"]))
        else:
            found[key] = [_plain(key, value)]
    return found


def _flat(prefix: str, tree: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(f"{name}.", value)
        else:
            yield name, value


def _checked(key: str, value: Choice) -> Choice:
    """The value in the key's own type, or UsageError."""
    if key in CORE_KEYS:
        return _coerced(key, value)
    knob = all_knobs().get(key)
    if knob is None:
        if _owner(key) in backend_names():
            load_backend(_owner(key))  # one that is broken says so
        near = did_you_mean(key, {*CORE_KEYS, *all_knobs()})
        raise UsageError(f"no setting is called {key!r}", near or "`honed run --keys` lists them")
    if value is None or knob.allows(value):
        return value
    if isinstance(value, bool) and knob.allows("on" if value else "off"):
        return "on" if value else "off"  # YAML reads on and off as truth values
    words = () if isinstance(knob.values, Span) else (str(v) for v in knob.values)
    near = did_you_mean(str(value), words)
    raise UsageError(f"{key}={value} is not known", f"{near} known: {knob.choices}".strip())


@cache
def _schema() -> Any:
    """The Case's fields as a structured config, which converts and refuses by type."""
    from omegaconf import OmegaConf

    fields = [(f.name, f.type, dataclasses.field(default=None)) for f in CORE_FIELDS]
    optional = [(name, f"{kind} | None", default) for name, kind, default in fields]
    return OmegaConf.structured(dataclasses.make_dataclass("CaseConfig", _resolved(optional)))


def _resolved(fields: Iterable[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    kinds: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool}
    return [(n, kinds[str(k).split(" |")[0]] | None, default) for n, k, default in fields]


def _coerced(key: str, value: Choice) -> Choice:
    from omegaconf import OmegaConf
    from omegaconf.errors import ValidationError

    field = next(f for f in CORE_FIELDS if f.name == key)
    kind = str(field.type)
    if field.metadata.get("share") and isinstance(value, str):
        value = share(value)
    if kind.startswith("int") and isinstance(value, float | bool):
        raise UsageError(f"{key}={value} is not a whole number", f"for example {key}=8")
    config: Any = OmegaConf.merge(_schema())
    try:
        config[key] = value
    except ValidationError:
        expected = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        wanted = expected.get(kind.split(" |", maxsplit=1)[0], "a word")
        hint = f"{key}: {field.metadata['help']}"
        if key == "sequence_length" and length_spec.looks_like(str(value)):
            hint = f"lengths={value}"
        raise UsageError(f"{key}={value} is not {wanted}", hint) from None
    coerced: Choice = config[key]
    return coerced


def _knows_owners(choices: Mapping[str, list[Choice]]) -> None:
    """A knob needs its backend, workload or other knob among the ones asked for."""
    if "model" not in choices:
        raise UsageError("which model?", "add model=NAME, for example model=bert-base-uncased")
    for key, known, load in (
        ("backend", backend_names(), load_backend),
        ("workload", workload_names(), load_workload),
    ):
        for value in choices.get(key, []):
            load(str(value))
        asked = {str(v) for v in choices.get(key, [_default(key)])}
        for name in choices:
            owner = name.rpartition(".")[0]
            if owner in known and owner not in asked:
                raise UsageError(f"{name} needs {key}={owner}", f"add {key}={owner}, or drop it")
    for name, (key, values) in padding.NEEDS.items():
        if name in choices and not {*values} & {*choices.get(key, [])}:
            needed = f"{key}={' or '.join(values)}"
            raise UsageError(f"{name} needs {needed}", f"add {key}={values[0]}, or drop it")


def _default(key: str) -> Any:
    return next(f.default for f in CORE_FIELDS if f.name == key)


def _case(settings: dict[str, Choice]) -> Case:
    """A knob that means nothing in this Case falls away (its twins are then dropped)."""
    backend = str(settings.get("backend") or _default("backend"))
    workload = str(settings.get("workload") or _default("workload"))
    owners = {"", backend, workload}
    kept = {k: v for k, v in settings.items() if k in CORE_KEYS or _owner(k) in owners}
    for name, (key, values) in padding.NEEDS.items():
        if kept.get(key) not in values:
            kept.pop(name, None)
    if kept.get("lengths") is not None and kept.get("sequence_length") is None:
        kept["sequence_length"] = _longest(str(kept["lengths"]))
    return Case.from_json(kept)


def _longest(text: str) -> int:
    """Where nothing else is said, no sequence is cut."""
    found = longest(text)
    if found is None:
        raise UsageError(
            f"lengths={text} has no longest one", "add sequence_length=512: longer ones are cut"
        )
    return found


def _owner(key: str) -> str:
    return key.rpartition(".")[0]
