"""Words to Cases: Hydra's override grammar, and YAML files with the same keys.

A comma list, `choice()` or `range()` sweeps; the last one written varies fastest. The types and
limits of values are the Case's to check.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed import length_spec, typed_paths
from honed.backends.base import backend_names, load_backend
from honed.case import CORE_FIELDS, CORE_KEYS, NO_MODEL, Case, check_value
from honed.errors import UsageError, did_you_mean
from honed.knob import Value, unknown_value
from honed.knobs import all_knobs, belongs, owner_of, workloads_of
from honed.models import delivered
from honed.models.draw_lengths import longest
from honed.units import share
from honed.values import as_override, as_typed
from honed.workloads.base import load_workload, workload_names

Choice = Value | None  # None: untouched
_FIELDS = {f.name: f for f in CORE_FIELDS}


@dataclass(frozen=True, slots=True)
class Sweep:
    """Cases in the order they run, and the keys that differ between them."""

    cases: tuple[Case, ...]
    varying: tuple[str, ...]
    notices: tuple[str, ...] = ()  # what the words may not have meant


def compose(words: Sequence[str], config: Path | None = None) -> Sweep:
    """The Cases that `config` (YAML) and then `words` (key=value) describe.

    Raises UsageError, with the nearest names, for a key or value that does not exist.
    """
    choices: dict[str, list[Choice]] = {}
    if config is not None:
        choices.update(_from_yaml(config))
    return _sweep(_with_settings_of_folder(_given(choices, words)))


def change(case: Case, words: Sequence[str]) -> Sweep:
    """`case` with `words` changed. Knobs of an engine or workload that goes are dropped."""
    changed = dict(_parsed(words))
    backends = changed.get("backend", [case.backend])
    workloads = changed.get("workload", [case.workload])
    stays = {
        key: value
        for key, value in case.to_json().items()
        if any(belongs(key, str(b), str(w)) for b in backends for w in workloads)
    }
    if changed.get("lengths", [None]) != [None]:
        stays.pop("sequence_length")  # it belonged to other sequences
    return _sweep(_given({k: [v] for k, v in stays.items()}, words))


def key_choices(words: Sequence[str], config: Path | None = None) -> dict[str, list[Choice]]:
    """Every key that is given, with all its values, checked; no Case is made of them yet."""
    return _complete(_given({} if config is None else _from_yaml(config), words))


def _given(choices: dict[str, list[Choice]], words: Sequence[str]) -> dict[str, list[Choice]]:
    for key, values in _parsed(words):
        choices.pop(key, None)  # a word typed later takes the later place in the order
        choices[key] = values
    if any(map(_is_size, choices.get("memory", []))):  # memory=2GiB is a limit
        choices["memory_limit"] = choices.pop("memory")
    return _checked_all(choices)


def _complete(choices: dict[str, list[Choice]]) -> dict[str, list[Choice]]:
    if "model" not in choices and not _needs_model(choices):
        choices["model"] = [NO_MODEL]
    _check_owners(choices)
    return choices


def _checked_all(choices: Mapping[str, list[Choice]]) -> dict[str, list[Choice]]:
    return {key: [_checked(key, value) for value in values] for key, values in choices.items()}


def _sweep(choices: dict[str, list[Choice]]) -> Sweep:
    choices = _complete(choices)
    rows = itertools.product(*choices.values())
    cases = [_case(dict(zip(choices, row, strict=True))) for row in rows]
    varying = tuple(k for k, v in choices.items() if len(v) > 1)
    notices = (typed_paths.comma_notice(key, values) for key, values in choices.items())
    return Sweep(tuple(dict.fromkeys(cases)), varying, tuple(filter(None, notices)))


def _with_settings_of_folder(choices: dict[str, list[Choice]]) -> dict[str, list[Choice]]:
    """The choices, and what a delivered folder was exported with for keys that are not given."""
    models = choices.get("model", [])
    stored = delivered.settings_of(str(models[0])) if len(models) == 1 else {}
    backends = choices.get("backend", [stored.get("backend", _FIELDS["backend"].default)])
    workloads = choices.get("workload", [_FIELDS["workload"].default])
    # These say the same as the key, or something that the key belongs to.
    instead = {
        "batch_size": ("total_batch",), "sequence_length": ("lengths",), "instances": ("sizes",),
        "threads": ("sizes",), "sizes": ("instances", "threads"),
    }  # fmt: skip
    found: dict[str, list[Choice]] = {
        key: [value]
        for key, value in stored.items()
        if key not in choices
        and choices.keys().isdisjoint(instead.get(key, ()))
        and any(belongs(key, str(b), str(w)) for b in backends for w in workloads)
    }
    return _checked_all(found) | choices


def _parsed(words: Sequence[str]) -> Iterator[tuple[str, list[Choice]]]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for word in words:
        if word.startswith("lengths="):  # Hydra knows no function uniform(8,512)
            yield "lengths", _lengths(word.removeprefix("lengths="))
            continue
        if (path := typed_paths.existing(word)) is not None:
            yield path[0], [path[1]]
            continue
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            raise _unreadable(word, str(error), parser.parse_override) from None
        if override.type is None or override.key_or_group is None or override.package:
            raise _unreadable(word, "only key=value is understood")
        if override.type.name != "CHANGE":
            raise _unreadable(word, "keys cannot be added or removed, only set")
        key, swept = override.key_or_group, override.is_sweep_override()
        values = override.sweep_iterator() if swept else [override.value()]
        yield key, [_plain(key, value) for value in values]


def _unreadable(word: str, why: str, parse: Callable[[str], object] | None = None) -> UsageError:
    reason = why.strip().splitlines()[0]
    key, _, value = word.partition("=")
    hint = "write key=value"
    if parse is not None and value and _parses(parse, f"{key}={as_override(value)}"):
        hint = f"write key=value with quotes: {typed_paths.in_shell(key, value)}"
    if "=" not in word:
        hint = f"write key=value, for example model={word}"
    elif word.startswith("sequence_length=") and length_spec.looks_like(word.partition("=")[2]):
        hint = f"lengths={word.partition('=')[2]}"
    return UsageError(f"cannot read {word!r}: {reason}", hint)


def _parses(parse: Callable[[str], object], word: str) -> bool:
    from hydra.errors import HydraException

    try:
        parse(word)
    except HydraException:
        return False
    return True


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
        message = f"{path} is not valid YAML: {' '.join(str(error).split())}"
        raise UsageError(message, "one `key: value` a line") from None
    if not isinstance(loaded, DictConfig) or not isinstance(plain, dict):
        raise UsageError(f"{path} is not a mapping", "one `key: value` a line")
    choices: dict[str, list[Choice]] = {}
    for key, value in _flat("", plain):
        if key == "lengths":  # in a YAML list the commas inside brackets part items too
            parts = value if isinstance(value, list) else [value]
            choices[key] = _lengths(",".join("null" if p is None else str(p) for p in parts))
        elif isinstance(value, list):
            choices[key] = [_plain(key, v) for v in value]
        elif isinstance(value, str) and value.startswith(("choice(", "range(")):
            choices |= dict(_parsed([f"{key}={value}"]))
        else:
            choices[key] = [_plain(key, value)]
    return choices


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
        return _core_value(key, value)
    knob = all_knobs().get(key)
    if knob is None:
        if owner_of(key) in backend_names():
            load_backend(owner_of(key))  # raises if the file is broken
        near = did_you_mean(key, {*CORE_KEYS, *all_knobs()})
        raise UsageError(f"no setting is called {key!r}", near or "`honed run --keys` lists them")
    if value is None or knob.allows(value):
        return value
    if isinstance(value, bool) and knob.allows("on" if value else "off"):
        return "on" if value else "off"  # YAML reads on and off as truth values
    raise unknown_value(knob, value)


def _is_size(value: Choice) -> bool:
    """Whether the value of `memory` is a size of memory, and not a truth value."""
    return value[:1].isdigit() if isinstance(value, str) else type(value) is int and value > 1


def _core_value(key: str, value: Choice) -> Choice:
    """A field of the Case: a number or word as the grammar reads it, in the field's own type."""
    field = _FIELDS[key]
    kind = str(field.type).removesuffix(" | None")
    if value is None:
        return None
    if isinstance(value, str) and field.metadata.get("share"):
        value = share(value)
    elif isinstance(value, str) and kind in _FROM_TEXT:
        with contextlib.suppress(ValueError, KeyError):  # other text is for the Case to refuse
            value = _FROM_TEXT[kind](value)
        if isinstance(value, str) and key == "sequence_length" and length_spec.looks_like(value):
            raise UsageError(f"{key}={value} is not a whole number", f"lengths={value}")
    elif kind == "str":
        value = as_typed(value)  # a folder may be called 123
    elif kind in ("float", "bool") and type(value) is int:
        value = float(value) if kind == "float" else value != 0
    check_value(field, value)
    return value


_TRUTHS = dict.fromkeys(("true", "yes", "y", "on", "1"), True)
_TRUTHS |= dict.fromkeys(("false", "no", "n", "off", "0"), False)
_FROM_TEXT: Mapping[str, Callable[[str], Value]] = {
    "int": int, "float": float, "bool": lambda text: _TRUTHS[text.lower()],
}  # fmt: skip


def _needs_model(choices: Mapping[str, list[Choice]]) -> bool:
    """False where each workload measures a kernel alone."""
    workloads = choices.get("workload", [_FIELDS["workload"].default])
    return any(load_workload(str(name)).STEP.needs_checkpoint for name in workloads)


def _check_owners(choices: Mapping[str, list[Choice]]) -> None:
    """A knob needs its backend, workload or other knob among the given ones."""
    if "model" not in choices:
        raise UsageError("which model?", "add model=NAME, for example model=bert-base-uncased")
    for key, known, load in (
        ("backend", backend_names(), load_backend),
        ("workload", workload_names(), load_workload),
    ):
        for value in choices.get(key, []):
            load(str(value))
        given = {str(v) for v in choices.get(key, [_FIELDS[key].default])}
        for name in choices:
            owner = owner_of(name)
            if owner in known and owner not in given:
                raise UsageError(f"{name} needs {key}={owner}", f"add {key}={owner}, or drop it")
            only = workloads_of(name) if key == "workload" else ()
            if only and not given & set(only):
                raise UsageError(
                    f"{name} needs {key}={' or '.join(only)}", f"add {key}={only[0]}, or drop it"
                )
    for name, other, values in _needs():
        if name in choices and not {*values} & {*choices.get(other, [])}:
            needed = f"{other}={' or '.join(map(as_typed, values))}"
            raise UsageError(f"{name} needs {needed}", f"add {other}={values[0]}, or drop it")


def _needs() -> Iterator[tuple[str, str, tuple[Choice, ...]]]:
    """A knob of the inputs, another knob, and the values of the other one that it needs."""
    for name, knob in all_knobs().items():
        if knob.of == "inputs":
            for other, values in knob.beside.items():
                yield name, other, values


def _case(settings: dict[str, Choice]) -> Case:
    """The Case of one row; knobs without effect in it are dropped (equal Cases are then one)."""
    owners = (str(settings.get(k) or _FIELDS[k].default) for k in ("backend", "workload"))
    backend, workload = owners
    kept = {k: v for k, v in settings.items() if belongs(k, backend, workload)}
    for name, other, values in _needs():
        if kept.get(other) not in values:
            kept.pop(name, None)
    if (lengths := kept.get("lengths")) is not None and kept.get("sequence_length") is None:
        tokens = longest(str(lengths))  # without a sequence_length, no sequence is cut
        if tokens is None:
            hint = "add sequence_length=512: longer ones are cut"
            raise UsageError(f"lengths={lengths} has no longest one", hint)
        kept["sequence_length"] = tokens
    return Case.from_json(kept)
