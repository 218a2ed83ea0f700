"""Llama and the decoders of language-model courses: RMSNorm, rotary positions, SwiGLU."""

from __future__ import annotations

from honed.case import FEATURES
from honed.models.families.base import Family, Preset, encoder_sizes
from honed.models.products import Call, gated_body, product


def _flops(call: Call) -> int:
    """The head is one product for every token. The classifier picks the last token afterwards."""
    if call.task == FEATURES:
        return gated_body(call)
    width = call.vocabulary if call.task == "causal-lm" else call.labels
    return gated_body(call) + product(call.tokens, call.hidden, width)


def _preset(name: str, sizes: tuple[int, int, int], parameters: str) -> Preset:
    """`sizes`: hidden, layers, heads. Embeddings and the language head are not tied."""
    hidden, layers, heads = sizes
    config = encoder_sizes(
        hidden, layers, heads, 4 * hidden, num_key_value_heads=heads, vocab_size=10_000,
        max_position_embeddings=2048, rms_norm_eps=1e-5, tie_word_embeddings=False,
        pad_token_id=0,  # sequence classification in batches needs to know it
    )  # fmt: skip
    help = f"decoder, {layers} layers of {hidden}, {parameters} parameters"
    return Preset(f"lm-{name}", "llama", config, help, "causal-lm", "none")


FAMILY = Family(
    model_types=("llama",),
    flops=_flops,
    rotates_pairs=True,
    presets=(
        _preset("small", (768, 12, 12), "129 M"),
        _preset("medium", (1024, 24, 16), "423 M"),
        _preset("large", (1280, 36, 20), "969 M"),
        _preset("xl", (1600, 48, 25), "2.0 G"),
        _preset("2.7b", (2560, 32, 32), "3.4 G"),
    ),
)
