"""Every file in families/: what it must declare, whoever wrote it."""

from __future__ import annotations

from collections import Counter

import pytest

from honed import discovery
from honed.models import families
from honed.models.families import all_families, family_of
from honed.models.families.base import Family, FamilyFile

FAMILIES = all_families()


def test_no_file_is_broken():
    assert discovery.survey(families.__name__, FamilyFile).broken == {}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_model_types_and_its_shapes_are_of_them(name):
    family = FAMILIES[name]
    assert isinstance(family, Family)
    assert family.model_types
    assert {preset.model_type for preset in family.presets} <= set(family.model_types)
    assert all(family_of(model_type) is family for model_type in family.model_types)


def test_no_two_families_claim_a_type_a_shape_or_an_alias():
    every = FAMILIES.values()
    types = Counter(t for family in every for t in family.model_types)
    names = Counter(n for f in every for p in f.presets for n in (p.name, *p.aliases))
    assert [name for counts in (types, names) for name in counts if counts[name] > 1] == []


def test_an_unknown_type_gets_the_defaults():
    assert family_of("no-such-type") == Family()
    assert family_of("") == Family()


@pytest.mark.engine
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "tiny"])
def test_transformers_knows_the_types(name):
    from transformers import CONFIG_MAPPING

    assert set(FAMILIES[name].model_types) <= set(CONFIG_MAPPING)


@pytest.mark.engine
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "tiny"])
def test_the_default_number_of_segments_is_transformers_own(name):
    """Only for the families that declare one; the others get no segments, which is always safe."""
    from transformers import AutoConfig

    family = FAMILIES[name]
    if family.segments:
        for model_type in family.model_types:
            assert AutoConfig.for_model(model_type).type_vocab_size == family.segments
