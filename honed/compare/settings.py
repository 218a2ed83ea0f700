"""Words to sides: `shared=1 A: backend=torch B: backend=onnxruntime`, in the grammar of `run`."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence

from honed.case import CORE_KEYS, Case
from honed.compose import Sweep, change, compose
from honed.errors import UsageError

_LABEL = re.compile(r"([A-Za-z0-9_.-]+):(.*)", re.DOTALL)
_HOW = "honed compare model=NAME A: backend=torch B: backend=onnxruntime"


def sides(words: Sequence[str], stored: Case | None = None) -> dict[str, Case]:
    """The Cases to compare, by label, in the order written.

    Words before the first label belong to every side; without labels a sweep's Cases are the
    sides. With `stored` the words change that Case, and without labels it is itself the first.
    """
    shared, labelled = split(words)
    found: dict[str, Case] = {}
    if labelled:
        for label, own in labelled.items():
            cases = _composed([*shared, *own], stored).cases
            if len(cases) > 1:
                raise UsageError(
                    f"side {label} is {len(cases)} cases, not one",
                    "sweep without labels, or give each value a label of its own",
                )
            found[label] = cases[0]
    else:
        base = (stored,) if stored is not None else ()
        changed = _composed(shared, stored).cases if shared or stored is None else ()
        found = lettered([*base, *changed])
    if len(found) < 2:
        hint = "say what to change: honed compare RECORD_ID torch.mode=compile" if stored else _HOW
        raise UsageError("there is nothing to compare with", hint)
    return found


def split(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The shared words, and each label's own."""
    shared: list[str] = []
    labelled: dict[str, list[str]] = {}
    current = shared
    for word in words:
        match = _LABEL.fullmatch(word.split("=", 1)[0])
        if match is None:
            current.append(word)
            continue
        label, glued = match[1], word[len(match[1]) + 1 :]
        if label in labelled:
            raise UsageError(f"two sides are called {label}", "give each side its own name")
        current = labelled[label] = [glued] if glued else []
    return shared, labelled


def lettered(cases: Sequence[Case]) -> dict[str, Case]:
    """A, B, C; then 27, 28."""
    return {
        string.ascii_uppercase[i] if i < 26 else str(i + 1): case for i, case in enumerate(cases)
    }


def differing(cases: Mapping[str, Case]) -> dict[str, dict[str, str]]:
    """For each side the settings that not all have in common, as one types them."""
    keys = dict.fromkeys([*CORE_KEYS, *(k for case in cases.values() for k in case.knobs)])
    varying = [k for k in keys if len({str(case.get(k)) for case in cases.values()}) > 1]
    return {
        label: {k: _typed(case.get(k)) for k in varying if case.get(k) is not None}
        for label, case in cases.items()
    }


def _composed(words: Sequence[str], stored: Case | None) -> Sweep:
    return compose(words) if stored is None else change(stored, words)


def _typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
