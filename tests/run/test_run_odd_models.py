"""Models whose positions or inputs differ from BERT's, measured from the folder to the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_steps import measure_here

from honed.case import Case
from honed.record import Record

pytestmark = pytest.mark.engine

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}


def save(folder: Path, architecture: str, **config: Any) -> Path:
    import torch
    import transformers

    torch.manual_seed(0)
    cls = getattr(transformers, architecture)
    cls(cls.config_class(**{"vocab_size": 64, **config})).save_pretrained(folder)
    return folder


def run(folder: Path, **changes: Any) -> Record:
    quick = {"memory": False, "duration_s": 0.1, "min_samples": 3, "warmup_s": 0.2}
    return measure_here(Case(model=str(folder), batch_size=2, **{**quick, **changes}))


def esm(folder: Path, kind: str = "absolute") -> Path:
    return save(
        folder, "EsmModel", **SMALL, pad_token_id=1, mask_token_id=32,
        max_position_embeddings=66, position_embedding_type=kind,
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_an_encoder_half_runs(tmp_path: Path, engine: str) -> None:
    folder = save(tmp_path / "t5", "T5EncoderModel", **T5)
    record = run(folder, backend=engine, sequence_length=40)
    assert (record.status, record.error) == ("ok", None)


def test_relative_positions_run_beyond_the_sizes_of_the_configuration(tmp_path: Path) -> None:
    folder = save(
        tmp_path / "deberta", "DebertaV2Model", **SMALL, max_position_embeddings=64,
        relative_attention=True, position_buckets=32, norm_rel_ebd="layer_norm",
        share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
        max_relative_positions=-1, type_vocab_size=0,
    )  # fmt: skip
    assert run(folder, sequence_length=128).status == "ok"
    assert run(esm(tmp_path / "esm", "rotary"), sequence_length=96).status == "ok"


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_positions_behind_the_padding_id_run_to_their_end_and_not_beyond(
    tmp_path: Path, engine: str
) -> None:
    luke = {"entity_vocab_size": 8, "entity_emb_size": 16, "max_position_embeddings": 66}
    for folder in (
        esm(tmp_path / "esm"),
        save(tmp_path / "luke", "LukeModel", **SMALL, **luke, pad_token_id=1),
    ):
        record = run(folder, backend=engine, sequence_length=64)
        assert (record.status, record.error) == ("ok", None)
        longer = run(folder, backend=engine, sequence_length=65)
        assert longer.error is not None
        assert "65 is longer than the 64 positions" in longer.error.message


def test_two_models_of_one_vocabulary_do_not_share_inputs(tmp_path: Path) -> None:
    """The second takes token types, and the random ids of the first have none. torch runs the same
    inputs for the reference."""
    for types in (1, 2, 1):
        folder = save(tmp_path / str(types), "BertModel", **SMALL, type_vocab_size=types)
        assert run(folder, backend="onnxruntime", sequence_length=16).status == "ok"
