"""Llama and the decoders of language-model courses: RMSNorm, rotary positions, SwiGLU."""

from __future__ import annotations

from honed.case import FEATURES
from honed.models.families.base import Family, Preset, encoder_sizes
from honed.models.products import Call, attention, product


def _flops(call: Call) -> int:
    """Keys and values may have fewer heads than queries; the feed forward is gated."""
    config, hidden = call.config, call.hidden
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    shared = int(config.get("num_key_value_heads") or heads)
    queries_and_output = 2 * product(call.tokens, hidden, heads * width)
    keys_and_values = 2 * product(call.tokens, hidden, shared * width)
    gated = 3 * product(call.tokens, hidden, call.intermediate)
    layer = queries_and_output + keys_and_values + attention(call, heads * width) + gated
    return call.layers * layer + _head(call)


def _head(call: Call) -> int:
    """One product for every token. The classifier picks the last token only afterwards."""
    if call.task == FEATURES:
        return 0
    width = call.vocabulary if call.task == "causal-lm" else call.labels
    return product(call.tokens, call.hidden, width)


def _preset(name: str, sizes: tuple[int, int, int], parameters: str) -> Preset:
    """`sizes`: hidden, layers, heads. Embeddings and the language head are not tied."""
    hidden, layers, heads = sizes
    config = encoder_sizes(
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


FAMILY = Family(
    model_types=("llama",),
    flops=_flops,
    presets=(
        _preset("small", (768, 12, 12), "129 M"),
        _preset("medium", (1024, 24, 16), "423 M"),
        _preset("large", (1280, 36, 20), "969 M"),
        _preset("xl", (1600, 48, 25), "2.0 G"),
        _preset("2.7b", (2560, 32, 32), "3.4 G"),
    ),
)
