"""Which records: conditions as one types them, `batch_size=8 and created>2026-03-01`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.case import CORE_KEYS
from honed.errors import UsageError, did_you_mean
from honed.record import STATUSES

# What can be asked for besides the Case's keys: the store has a column for each.
COLUMNS = ("status", "sweep", "honed", "case_id", "created", "id")

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*([\w.-]+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_AND = re.compile(r"\s+and\s+(?=[\w.-]+\s*(?:!=|>=|<=|=|>|<))")  # a value may hold an "and"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; `value` is as one types it."""

    key: str
    sign: str
    value: str

    @property
    def of_column(self) -> bool:
        return self.key in COLUMNS

    def compare(self, found: Any) -> Any:
        """`found SIGN value`: of two words a bool, of a database's column an expression."""
        return _OPERATORS[self.sign](found, self.value)

    def holds(self, case: Mapping[str, Any]) -> bool:
        """For a Case's own value. What is unset is neither more nor less than anything."""
        found = case.get(self.key)
        if self.sign in ("=", "!="):
            return bool(_OPERATORS[self.sign](_word(found), _word(self.value)))
        if not isinstance(found, int | float):
            return False
        return bool(_OPERATORS[self.sign](float(found), float(self.value)))


def parse(where: Mapping[str, Any] | Sequence[str]) -> tuple[Condition, ...]:
    """Keys with the values they must have, or words; all of them must hold."""
    if isinstance(where, Mapping):
        found = [Condition(k, "=", str(v) if k in COLUMNS else _word(v)) for k, v in where.items()]
    else:
        found = [_condition(part) for word in where for part in _AND.split(word)]
    for condition in found:
        _check(condition)
    return tuple(found)


def known_keys(conditions: Sequence[Condition], cases: Sequence[Mapping[str, Any]]) -> None:
    """UsageError for a key that neither a Case nor any of these has."""
    known = {*CORE_KEYS, *COLUMNS, *(key for case in cases for key in case)}
    for key in (c.key for c in conditions):
        if key not in known:
            raise UsageError(
                f"no record has a setting {key!r}", did_you_mean(key, known) or "try model=NAME"
            )


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is no condition",
            "write KEY=VALUE, as in model=NAME; =, !=, >, >=, < or <=, joined by 'and'",
        )
    key, sign, value = match.groups()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return Condition(key, sign, value)


def _check(condition: Condition) -> None:
    key, sign, value = condition.key, condition.sign, condition.value
    if key == "status" and value not in STATUSES:
        known = ", ".join(STATUSES)
        raise UsageError(
            f"status={value} is not known", f"{did_you_mean(value, STATUSES)} known: {known}"
        )
    if sign not in ("=", "!=") and not condition.of_column:
        try:
            float(value)
        except ValueError:
            raise UsageError(
                f"{key}{sign}{value}: {value!r} is no number", f"{key}={value} or {key}!={value}"
            ) from None


def _word(value: Any) -> str:
    """As one would type it: 5 and 5.0 are the same, True is true, None is null."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return repr(float(value))
    except ValueError:
        text = str(value)
        return text.lower() if text.lower() in ("true", "false", "null") else text
