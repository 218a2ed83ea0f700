"""Named shapes: the published configurations that random weights are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """One shape. `config` are the keyword arguments of the model type's configuration class."""

    name: str
    model_type: str
    config: Mapping[str, Any]
    help: str
    default_task: str = "feature-extraction"
    pooling: str = "mean"  # of the default task


def _encoder(
    hidden: int, layers: int, heads: int, intermediate: int, **more: Any
) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
        **more,
    }


def _bert(hidden: int, layers: int, heads: int, vocab: int = 30522) -> dict[str, Any]:
    return _encoder(
        hidden,
        layers,
        heads,
        4 * hidden,
        vocab_size=vocab,
        max_position_embeddings=512,
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        pad_token_id=0,
    )


def _roberta(vocab: int) -> dict[str, Any]:
    return _encoder(
        768,
        12,
        12,
        3072,
        vocab_size=vocab,
        max_position_embeddings=514,  # positions start after the padding id, so 512 tokens
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )


def _lm(name: str, hidden: int, layers: int, heads: int, parameters: str) -> Preset:
    """The decoders of language-model courses: RMSNorm, rotary positions, SwiGLU, untied."""
    config = _encoder(
        hidden,
        layers,
        heads,
        4 * hidden,
        num_key_value_heads=heads,
        vocab_size=10_000,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        pad_token_id=0,  # sequence classification in batches needs to know it
    )
    help = f"decoder, {layers} layers of {hidden}, {parameters} parameters"
    return Preset(f"lm-{name}", "llama", config, help, "causal-lm", "none")


_ALL = (
    Preset("tiny", "tiny", {}, "no framework needed: what the fake backend runs"),
    Preset(
        "tiny-bert",
        "bert",
        {**_bert(32, 2, 2, vocab=1000), "max_position_embeddings": 128},
        "BERT made small: ready in a second, for trying things out",
    ),
    Preset("bert-base-uncased", "bert", _bert(768, 12, 12), "BERT base, 109 M parameters"),
    Preset("bert-large-uncased", "bert", _bert(1024, 24, 16), "BERT large, 335 M parameters"),
    Preset(
        "bert-base-multilingual-1024",
        "bert",
        _bert(1024, 24, 16, vocab=119_547),
        "BERT large with the multilingual vocabulary, 426 M parameters",
    ),
    Preset(
        "distilbert-base-uncased",
        "distilbert",
        {
            "vocab_size": 30522,
            "max_position_embeddings": 512,
            "sinusoidal_pos_embds": False,
            "n_layers": 6,
            "n_heads": 12,
            "dim": 768,
            "hidden_dim": 3072,
            "pad_token_id": 0,
        },
        "DistilBERT, 66 M parameters",
    ),
    Preset("roberta-base", "roberta", _roberta(50_265), "RoBERTa base, 125 M parameters"),
    Preset(
        "xlm-roberta-base", "xlm-roberta", _roberta(250_002), "XLM-RoBERTa base, 278 M parameters"
    ),
    Preset("minilm-l6", "bert", _bert(384, 6, 12), "MiniLM, 6 layers of 384, 23 M parameters"),
    Preset(
        "electra-small",
        "electra",
        {**_bert(256, 12, 4), "embedding_size": 128},
        "ELECTRA small, the discriminator, 14 M parameters",
    ),
    Preset(
        "deberta-v3-small",
        "deberta-v2",
        _encoder(
            768,
            6,
            12,
            3072,
            vocab_size=128_100,
            max_position_embeddings=512,
            type_vocab_size=0,
            layer_norm_eps=1e-7,
            pad_token_id=0,
            relative_attention=True,
            max_relative_positions=-1,
            position_buckets=256,
            position_biased_input=False,
            pos_att_type=["p2c", "c2p"],
            share_att_key=True,
            norm_rel_ebd="layer_norm",
            pooler_hidden_size=768,
            pooler_hidden_act="gelu",
            pooler_dropout=0,
        ),
        "DeBERTa-v3 small, 141 M parameters (98 M of them embeddings)",
    ),
    Preset(
        "modernbert-base",
        "modernbert",
        _encoder(
            768,
            22,
            12,
            1152,
            vocab_size=50_368,
            max_position_embeddings=8192,
            norm_eps=1e-5,
            norm_bias=False,
            attention_bias=False,
            mlp_bias=False,
            local_attention=128,
            global_attn_every_n_layers=3,
            global_rope_theta=160_000.0,
            local_rope_theta=10_000.0,
            classifier_pooling="mean",
            decoder_bias=True,
            pad_token_id=50_283,
            bos_token_id=50_281,
            cls_token_id=50_281,
            eos_token_id=50_282,
            sep_token_id=50_282,
        ),
        "ModernBERT base, 149 M parameters",
    ),
    _lm("small", 768, 12, 12, "129 M"),
    _lm("medium", 1024, 24, 16, "423 M"),
    _lm("large", 1280, 36, 20, "969 M"),
    _lm("xl", 1600, 48, 25, "2.0 G"),
    _lm("2.7b", 2560, 32, 32, "3.4 G"),
)

PRESETS: dict[str, Preset] = {p.name: p for p in _ALL}

ALIASES: dict[str, str] = {
    "bert-base": "bert-base-uncased",
    "bert-large": "bert-large-uncased",
    "distilbert": "distilbert-base-uncased",
    "distilbert-base": "distilbert-base-uncased",
    "roberta": "roberta-base",
    "xlm-roberta": "xlm-roberta-base",
    "minilm": "minilm-l6",
    "electra": "electra-small",
    "deberta-v3": "deberta-v3-small",
    "modernbert": "modernbert-base",
}


def preset(name: str) -> Preset | None:
    """The shape of that name or alias, in any case."""
    lower = name.lower()
    return PRESETS.get(ALIASES.get(lower, lower))


def known_names() -> tuple[str, ...]:
    """Every word that names a shape, aliases too."""
    return (*PRESETS, *ALIASES)
