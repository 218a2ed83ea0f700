"""Floating-point operations of one forward pass, in closed form from config.json.

Every matrix product counts, a multiply-add as two: projections, attention scores and values, feed
forward, pooler and head. Left out, well under 1 % together: embedding look-ups, normalisation,
softmax, activations, biases, residuals, rotary embeddings. Attention counts in full, causal masks
and local windows included, because the implementations here compute it in full and mask it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from honed.models.tasks import FEATURES

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Shape:
    """One call. `tokens` is batch times length, padding included: it is computed too."""

    batch: int
    length: int
    config: Config
    task: str

    @property
    def tokens(self) -> int:
        return self.batch * self.length

    @property
    def labels(self) -> int:
        if self.task == "question-answering":
            return 2  # start and end
        return int(self.config.get("num_labels") or len(self.config.get("id2label") or (0, 1)))

    @property
    def hidden(self) -> int:
        return int(self.config["hidden_size"])

    @property
    def vocabulary(self) -> int:
        return int(self.config["vocab_size"])

    @property
    def embedding(self) -> int:
        return int(self.config.get("embedding_size") or self.hidden)


def forward_flops(config: Config, batch_size: int, sequence_length: int, task: str) -> int | None:
    """None for a model type without a formula here, or a configuration that leaves sizes out."""
    family = _FAMILIES.get(str(config.get("model_type")))
    if family is None:
        return None
    shape = _Shape(batch_size, sequence_length, config, task)
    body, head = family
    try:
        return body(shape) + head(shape)
    except KeyError:
        return None


def _product(rows: int, inner: int, columns: int) -> int:
    """[rows, inner] @ [inner, columns]."""
    return 2 * rows * inner * columns


def _attention(s: _Shape, width: int) -> int:
    """Scores [length, width] @ [width, length] and values, over all heads together."""
    return s.batch * (_product(s.length, width, s.length) + _product(s.length, s.length, width))


def _layer(s: _Shape, hidden: int, intermediate: int) -> int:
    """Query, key, value and output projections; attention; two feed-forward products."""
    projections = 4 * _product(s.tokens, hidden, hidden)
    return projections + _attention(s, hidden) + 2 * _product(s.tokens, hidden, intermediate)


def _bert_body(s: _Shape) -> int:
    layers = int(s.config["num_hidden_layers"])
    layer = _layer(s, s.hidden, int(s.config["intermediate_size"]))
    widened = _product(s.tokens, s.embedding, s.hidden) if s.embedding != s.hidden else 0
    return widened + layers * layer


def _bert_head(s: _Shape) -> int:
    pooler = _product(s.batch, s.hidden, s.hidden)
    if s.task == FEATURES:
        return pooler  # runs although no output uses it
    if s.task == "sequence-classification":
        return pooler + _product(s.batch, s.hidden, s.labels)
    return _token_head(s)


def _token_head(s: _Shape) -> int:
    """A label per token, or dense + vocabulary."""
    if s.task in ("masked-lm", "causal-lm"):
        dense = _product(s.tokens, s.hidden, s.embedding)
        return dense + _product(s.tokens, s.embedding, s.vocabulary)
    return _product(s.tokens, s.hidden, s.labels)


def _without_pooler(s: _Shape) -> int:
    """ELECTRA and DeBERTa: no pooler but for classification, which has a dense layer."""
    if s.task == FEATURES:
        return 0
    if s.task == "sequence-classification":
        width = int(s.config.get("pooler_hidden_size") or s.hidden)
        return _product(s.batch, width, width) + _product(s.batch, width, s.labels)
    return _token_head(s)


def _distilbert_shape(s: _Shape) -> _Shape:
    return _Shape(s.batch, s.length, {**s.config, "hidden_size": s.config["dim"]}, s.task)


def _distilbert_body(s: _Shape) -> int:
    layer = _layer(s, int(s.config["dim"]), int(s.config["hidden_dim"]))
    return int(s.config["n_layers"]) * layer


def _distilbert_head(s: _Shape) -> int:
    return _without_pooler(_distilbert_shape(s))


def _deberta_body(s: _Shape) -> int:
    """BERT plus disentangled attention: content against a table of relative positions."""
    config, hidden = s.config, s.hidden
    total = _bert_body(s)
    if config.get("relative_attention"):
        kinds = config.get("pos_att_type") or ()
        kinds = kinds.split("|") if isinstance(kinds, str) else kinds
        reach = int(config.get("max_relative_positions", -1))
        buckets = int(config.get("position_buckets", -1))
        span = (
            buckets if buckets > 0 else reach if reach > 0 else config["max_position_embeddings"]
        )
        rows = 2 * int(span)  # one table row per distance, both ways
        used = sum(kind in kinds for kind in ("c2p", "p2c"))
        # With shared projections both are computed, used or not; once for the whole batch.
        projected = 2 if config.get("share_att_key") else used
        table = projected * _product(rows, hidden, hidden)
        scores = used * s.batch * _product(s.length, hidden, rows)
        total += int(config["num_hidden_layers"]) * (table + scores)
    kernel = int(config.get("conv_kernel_size") or 0)
    groups = int(config.get("conv_groups") or 1)
    return total + _product(s.tokens, hidden * kernel // groups, hidden)


def _modernbert_body(s: _Shape) -> int:
    """The feed forward is gated: its first product is twice as wide."""
    intermediate = int(s.config["intermediate_size"])
    layer = _layer(s, s.hidden, intermediate) + _product(s.tokens, s.hidden, intermediate)
    return int(s.config["num_hidden_layers"]) * layer


def _modernbert_head(s: _Shape) -> int:
    """A dense layer before every head."""
    if s.task == FEATURES:
        return 0
    if s.task == "masked-lm":
        return _token_head(s)
    rows = s.batch if s.task == "sequence-classification" else s.tokens
    return _product(rows, s.hidden, s.hidden) + _product(rows, s.hidden, s.labels)


def _llama_body(s: _Shape) -> int:
    """Keys and values may have fewer heads; the feed forward is gated."""
    config, hidden = s.config, s.hidden
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    shared = int(config.get("num_key_value_heads") or heads)
    queries_and_output = 2 * _product(s.tokens, hidden, heads * width)
    keys_and_values = 2 * _product(s.tokens, hidden, shared * width)
    gated = 3 * _product(s.tokens, hidden, int(config["intermediate_size"]))
    layer = queries_and_output + keys_and_values + _attention(s, heads * width) + gated
    return int(config["num_hidden_layers"]) * layer


def _llama_head(s: _Shape) -> int:
    """One product for every token, the classifier's too: it picks the last token afterwards."""
    if s.task == FEATURES:
        return 0
    width = s.vocabulary if s.task == "causal-lm" else s.labels
    return _product(s.tokens, s.hidden, width)


_Part = Callable[[_Shape], int]
_FAMILIES: dict[str, tuple[_Part, _Part]] = {
    "bert": (_bert_body, _bert_head),
    "roberta": (_bert_body, _bert_head),
    "xlm-roberta": (_bert_body, _bert_head),
    "distilbert": (_distilbert_body, _distilbert_head),
    "electra": (_bert_body, _without_pooler),
    "deberta-v2": (_deberta_body, _without_pooler),
    "modernbert": (_modernbert_body, _modernbert_head),
    "llama": (_llama_body, _llama_head),
}
