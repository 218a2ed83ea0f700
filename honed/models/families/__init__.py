"""Families of models, one file each. Listing this folder finds them; no list names them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from honed import discovery
from honed.models.families.base import Family, FamilyFile


def family_of(model_type: str) -> Family:
    """The family of a `model_type` in config.json; the defaults for a type that no file names."""
    return _by_model_type().get(model_type, Family())


@cache
def all_families() -> Mapping[str, Family]:
    """Every family by the name of its file. A file that cannot be imported is left out."""
    working = discovery.survey(__name__, FamilyFile).working
    return {name: file.FAMILY for name, file in working.items()}


@cache
def _by_model_type() -> Mapping[str, Family]:
    return {name: family for family in all_families().values() for name in family.model_types}
