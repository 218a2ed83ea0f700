"""Feed-forwards of modules run for some tokens at a time; nothing that mixes tokens does."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from lowmem_models import saved

from honed.backends.lowmem import rowwise
from honed.backends.lowmem.budget import Chunks
from honed.backends.lowmem.runners import StreamOptions, runner
from honed.models.torch.module import load_module

pytestmark = pytest.mark.engine
HIDDEN = 8


@pytest.mark.parametrize("kind", ["llama", "gpt2", "modernbert"])
def test_a_long_sequence_goes_through_a_feed_forward_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(rowwise, "_LEAST_ROWS", 4)
    checkpoint = saved(tmp_path, kind, "masked-lm" if kind == "modernbert" else "causal-lm")
    ids = torch.randint(5, 100, (2, 11), generator=torch.manual_seed(2))
    feed = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    streamed = runner(checkpoint, StreamOptions(chunks=Chunks(group_rows=4)))
    rows: list[int] = []
    for name, module in streamed.stream.module.named_modules():
        if name.endswith(("up_proj", "c_fc", "Wi")):
            module.register_forward_pre_hook(lambda _, args: rows.append(args[0][..., 0].numel()))
    with torch.inference_mode():
        got, wanted = streamed.named_outputs(feed), load_module(checkpoint)(**feed)
    torch.testing.assert_close(got["logits"], wanted["logits"], atol=2e-5, rtol=1e-4)
    assert sorted(rows) == sorted([4, 4, 3] * 2 * 2)  # of two sequences, in two layers
    streamed.close()


class MlpThatMixes(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.widen = torch.nn.Linear(HIDDEN, 3 * HIDDEN)

    def forward(self, states: Any) -> Any:
        return self.widen(states).cumsum(1)


class MlpOfTwo(MlpThatMixes):
    def forward(self, states: Any, others: Any) -> Any:  # type: ignore[override]
        return self.widen(states) + others


class MlpOfItems(MlpThatMixes):
    def forward(self, states: Any) -> Any:
        return (self.widen(states), None)


@pytest.mark.parametrize("kind", [MlpThatMixes, MlpOfTwo, MlpOfItems])
def test_other_modules_stay_whole(kind: Any) -> None:
    layer = torch.nn.Module()
    layer.mlp = kind()
    rowwise.compute_by_rows([layer], 64, contextlib.nullcontext)
    assert "forward" not in vars(layer.mlp)
