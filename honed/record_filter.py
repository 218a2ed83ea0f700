"""Conditions that select records, as one types them: `batch_size=8 and created>2026-03-01`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.case import CORE_KEYS
from honed.errors import UsageError, did_you_mean, nearest
from honed.record import STATUSES
from honed.values import as_typed

# What a condition may name besides the keys of a Case: the store has a column for each.
COLUMNS = ("status", "sweep", "honed", "case_id", "created", "id")

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "!=": operator.ne, ">=": operator.ge, "<=": operator.le,
    "=": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_CONDITION = re.compile(r"\s*([\w.-]+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_AND = re.compile(r"\s+and\s+(?=[\w.-]+\s*(?:!=|>=|<=|=|>|<))")  # a value may hold an "and"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; `value` is spelled as the user typed it."""

    key: str
    sign: str
    value: str

    @property
    def of_column(self) -> bool:
        return self.key in COLUMNS

    def compare(self, left: Any) -> Any:
        """`left SIGN value`: a bool for two words, an expression for a database's column."""
        return _OPERATORS[self.sign](left, self.value)

    def holds(self, case: Mapping[str, Any]) -> bool:
        """Whether the Case's value meets the condition; an unset one is not more or less than
        anything."""
        value = case.get(self.key)
        if self.sign in ("=", "!="):
            return bool(_OPERATORS[self.sign](_comparable(value), _comparable(self.value)))
        if not isinstance(value, int | float):
            return False
        return bool(_OPERATORS[self.sign](float(value), float(self.value)))


def parse(where: Mapping[str, Any] | Sequence[str]) -> tuple[Condition, ...]:
    """The conditions of a mapping (key: the value it must have) or of words as a user types
    them. All of them must hold."""
    if isinstance(where, Mapping):
        conditions = [
            Condition(k, "=", str(v) if k in COLUMNS else _comparable(v)) for k, v in where.items()
        ]
    else:
        conditions = [_condition(part) for word in where for part in _AND.split(word)]
    for condition in conditions:
        _check(condition)
    return tuple(conditions)


def known_keys(conditions: Sequence[Condition], cases: Sequence[Mapping[str, Any]]) -> None:
    """UsageError for a key that is no key of a Case, no column, and in none of `cases`."""
    known = {*CORE_KEYS, *COLUMNS, *(key for case in cases for key in case)}
    for key in (c.key for c in conditions):
        if key not in known:
            hint = "conditions are about what was set, as model=NAME, not about what was measured"
            raise UsageError(f"no record has a setting {key!r}", did_you_mean(key, known) or hint)


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
        raise UsageError(f"status={value} is not known", nearest(value, STATUSES))
    if sign not in ("=", "!=") and not condition.of_column:
        try:
            float(value)
        except ValueError:
            message = f"{key}{sign}{value}: {value!r} is no number"
            raise UsageError(message, f"{key}={value} or {key}!={value}") from None


def _comparable(value: object) -> str:
    """One spelling for equal values: 5 and 5.0 are the same, and so are True and true."""
    text = as_typed(value)
    try:
        return repr(float(text))
    except ValueError:
        return text.lower() if text.lower() in ("true", "false", "null") else text
