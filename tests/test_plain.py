"""The codec: what goes in comes out, whatever is nested, and other versions' data still opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from honed.case import Case
from honed.plain import from_plain, to_plain


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Leaf:
    path: Path
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Tree:
    leaf: Leaf | None
    leaves: tuple[Leaf, ...]
    by_name: Mapping[str, Leaf]
    pair: tuple[int, str] = (1, "a")
    times: tuple[int, ...] = ()
    either: int | str | None = None
    case: Case | None = None
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ambiguous:
    which: Leaf | Tree


def test_everything_comes_back_as_it_was() -> None:
    leaf = Leaf(Path("/a/b"))
    tree = Tree(leaf, (leaf,), {"x": leaf}, times=(1, 2), either="b", case=Case(model="m"))
    assert from_plain(Tree, json.loads(json.dumps(to_plain(tree)))) == tree


def test_a_missing_field_takes_its_default_and_an_unknown_key_is_ignored() -> None:
    data = {"leaf": None, "leaves": [], "by_name": {}, "newer": 1}
    assert from_plain(Tree, data) == Tree(None, (), {})
    with pytest.raises(TypeError, match="by_name"):
        from_plain(Tree, {"leaf": None, "leaves": []})


def test_what_json_cannot_tell_apart_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot tell"):
        from_plain(Ambiguous, {"which": {}})
    with pytest.raises(TypeError, match="a class"):
        to_plain(Tree)
