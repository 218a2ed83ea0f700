"""Turns command-line words into sides: `batch_size=1 A: backend=torch B: backend=onnxruntime`."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence

from honed.case import CORE_KEYS, Case
from honed.compose import Sweep, change, compose
from honed.errors import UsageError
from honed.values import as_typed

_LABEL = re.compile(r"([A-Za-z0-9_.-]+):(.*)", re.DOTALL)
_EXAMPLE = "honed compare model=NAME A: backend=torch B: backend=onnxruntime"


def sides(words: Sequence[str], stored: Case | None = None) -> dict[str, Case]:
    """The Cases to compare, by label, in the order in which they were typed.

    Words before the first label belong to every side. Without labels the Cases of a sweep are the
    sides. With `stored` the words change that Case; without labels it is also the first side.
    """
    shared, labelled = split(words)
    cases: dict[str, Case] = {}
    if labelled:
        for label, words_of_side in labelled.items():
            composed = _composed([*shared, *words_of_side], stored).cases
            if len(composed) > 1:
                raise UsageError(
                    f"side {label} is {len(composed)} cases, not one",
                    "sweep without labels, or give each value a label of its own",
                )
            cases[label] = composed[0]
    else:
        base = (stored,) if stored is not None else ()
        changed = _composed(shared, stored).cases if shared or stored is None else ()
        cases = lettered([*base, *changed])
    if len(cases) < 2:
        change_it = "say what to change: honed compare RECORD_ID torch.mode=compile"
        raise UsageError("there is nothing to compare with", change_it if stored else _EXAMPLE)
    return cases


def several_stored(words: Sequence[str], stored: Sequence[Case]) -> dict[str, Case]:
    """Stored Cases as sides, each changed by `words`."""
    if split(words)[1]:
        raise UsageError(
            "several stored records are the sides themselves, and labels would name others",
            "honed compare RECORD_ID RECORD_ID, or honed compare RECORD_ID A: ... B: ...",
        )
    changed = [_composed(words, case).cases for case in stored] if words else [[c] for c in stored]
    if any(len(cases) > 1 for cases in changed):
        raise UsageError("each stored record is one side", "give single values")
    return lettered([case for (case,) in changed])


def split(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The words that belong to every side, and the words of each label."""
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
    """Labels A to Z; then 27, 28."""
    letters = dict(enumerate(string.ascii_uppercase))
    return {letters.get(i, str(i + 1)): case for i, case in enumerate(cases)}


def differing(cases: Mapping[str, Case]) -> dict[str, dict[str, str]]:
    """For each side the keys that differ between the sides, with its values as one types them."""
    keys = dict.fromkeys([*CORE_KEYS, *(k for case in cases.values() for k in case.knobs)])
    varying = [k for k in keys if len({str(case.get(k)) for case in cases.values()}) > 1]
    return {
        label: {k: as_typed(case.get(k)) for k in varying if case.get(k) is not None}
        for label, case in cases.items()
    }


def _composed(words: Sequence[str], stored: Case | None) -> Sweep:
    return compose(words) if stored is None else change(stored, words)
