"""The words of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.errors import UsageError
from honed.plan.question import parse
from honed.plan.settings import Optimizer

BERT = "model=bert-base-uncased"


def settings(*words: str):
    return [cell for _, cell in parse([BERT, *words]).cells]


def test_settings_of_training_make_no_second_row_for_inference() -> None:
    found = settings("mode=infer,train", "checkpointing=true,false", "optimizer=sgd,adamw")
    assert [cell.mode for cell in found] == ["infer", "train", "train", "train", "train"]
    assert found[0].checkpointing == "off"
    assert found[0].optimizer == Optimizer()


@pytest.mark.parametrize(("device", "loop"), [("cpu", "for_loop"), ("cuda:16GiB", "foreach")])
def test_tensors_are_updated_as_torch_does_on_the_device(device: str, loop: str) -> None:
    words = ["model=tiny-bert", "mode=train", f"device={device}"]
    assert parse(words).cells[0][1].optimizer.loop == loop
    assert parse([*words, "optimizer_loop=fused"]).cells[0][1].optimizer.loop == "fused"


def test_checkpointing_is_said_as_for_a_measured_step() -> None:
    for words in ("off,blocks,nested", "false,true,nested"):
        found = settings("mode=train", f"checkpointing={words}")
        assert [cell.checkpointing for cell in found] == ["off", "blocks", "nested"]


@pytest.mark.parametrize(
    ("words", "types"),
    [
        (["precision=bf16"], ("bfloat16", None)),
        (["precision=bf16", "mode=train"], ("float32", "bfloat16")),
        (["precision=bf16", "torch.bf16=weights", "mode=train"], ("bfloat16", None)),
        (["precision=bf16", "torch.bf16=autocast"], ("float32", "bfloat16")),
        (["mode=train"], ("float32", None)),
    ],
)
def test_training_in_16_bits_keeps_fp32_weights(words: list[str], types: tuple[str, ...]) -> None:
    (found,) = settings(*words)
    assert (found.dtype, found.autocast) == types


def test_a_grid_asks_for_each_mode_once() -> None:
    question = parse([BERT, "memory=8GiB", "mode=infer,train", "sequence_length=64,128"])
    assert [cell.mode for _, cell in question.cells] == ["infer", "train"]
    assert question.grid
    assert question.lengths == (64, 128)
    assert question.device.capacity_bytes == 8 * 2**30
    with pytest.raises(UsageError, match="device takes one value"):
        parse([BERT, "device=cpu,cuda"])


@pytest.mark.parametrize(
    ("words", "modes"),
    [
        ([], ["infer", "forward_grad", "train"]),
        (["mode=train"], ["train"]),
        (["cache=true"], ["infer"]),
        (["weights=lazy"], ["infer"]),
    ],
)
def test_a_grid_is_of_every_mode_unless_a_word_says_otherwise(
    words: list[str], modes: list[str]
) -> None:
    assert [cell.mode for cell in settings("memory=8GiB", *words)] == modes


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], False),
        (["backend=torch"], True),
        (["threads=2"], True),
        (["instances=2", "device=cpu:2GiB"], True),
        (["precision=int8"], True),
        (["threads=2", "mode=train"], False),
    ],
)
def test_words_of_a_process_ask_for_a_deployment(words: list[str], asked: bool) -> None:
    assert bool(parse([BERT, *words]).deployments) is asked


def test_a_file_of_settings_asks_for_a_deployment_too(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("model: bert-base-uncased\ninstances: 2\n")
    (case,) = parse([], config).deployments
    assert case.instances == 2


def test_a_grid_has_the_lengths_of_a_file_of_settings(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("model: bert-base-uncased\nsequence_length: [64, 256]\n")
    assert parse(["memory=8GiB"], config).lengths == (64, 256)
    assert parse([BERT, "memory=8GiB"]).lengths == ()
    assert parse([BERT, "memory=8GiB", "sequence_length=128"]).lengths == (128,)


def test_an_empty_memory_asks_for_no_grid() -> None:
    assert not parse([BERT, "memory="]).grid


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["instances=2", "mode=train"], "instances=2 asks for a deployment, and mode=train"),
        (["instances=2", "device=cuda:8GiB"], "and device=cuda:8GiB for the tensors"),
        (["weights=lazy", "mode=train"], "the backward pass of mode=train needs"),
    ],
)
def test_words_that_contradict_each_other_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse([BERT, *words])


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["device=cuda"], False),
        (["device=cuda:16GiB"], True),
        (["device=cpu:2GiB"], True),
        (["device=cuda:16GiB", "max_batch=false"], False),
    ],
)
def test_the_largest_batch_is_found_where_the_device_has_a_size(
    words: list[str], asked: bool
) -> None:
    assert parse([BERT, *words]).max_batch is asked
