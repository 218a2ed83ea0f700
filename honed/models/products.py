"""The matrix products that models are made of, counted in floating-point operations.

A multiply-add counts as two. Families add these up into the FLOPs of a forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.case import FEATURES


@dataclass(frozen=True, slots=True)
class Call:
    """One forward pass. The properties read the sizes in config.json's most common words."""

    batch: int
    length: int
    config: Mapping[str, Any]
    task: str

    @property
    def tokens(self) -> int:
        """Batch times length. Padding is included, because it is computed too."""
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
    def layers(self) -> int:
        return int(self.config["num_hidden_layers"])

    @property
    def intermediate(self) -> int:
        return int(self.config["intermediate_size"])

    @property
    def vocabulary(self) -> int:
        return int(self.config["vocab_size"])

    @property
    def embedding(self) -> int:
        return int(self.config.get("embedding_size") or self.hidden)


def product(rows: int, inner: int, columns: int) -> int:
    """[rows, inner] @ [inner, columns]."""
    return 2 * rows * inner * columns


def attention(call: Call, width: int) -> int:
    """Scores [length, width] @ [width, length], and values, over all heads together."""
    length = call.length
    return call.batch * (product(length, width, length) + product(length, length, width))


def encoder_layer(call: Call) -> int:
    """Query, key, value and output projections; attention; two feed-forward products."""
    projections = 4 * product(call.tokens, call.hidden, call.hidden)
    feed_forward = 2 * product(call.tokens, call.hidden, call.intermediate)
    return projections + attention(call, call.hidden) + feed_forward


def encoder_body(call: Call) -> int:
    """The layers, and before them a projection where embeddings are narrower than the layers."""
    narrow = call.embedding != call.hidden
    widened = product(call.tokens, call.embedding, call.hidden) if narrow else 0
    return widened + call.layers * encoder_layer(call)


def gated_body(call: Call) -> int:
    """Llama's layers: keys and values may have fewer heads, and the feed forward is gated."""
    config, hidden = call.config, call.hidden
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    shared = int(config.get("num_key_value_heads") or heads)
    queries_and_output = 2 * product(call.tokens, hidden, heads * width)
    keys_and_values = 2 * product(call.tokens, hidden, shared * width)
    gated = 3 * product(call.tokens, hidden, call.intermediate)
    layer = queries_and_output + keys_and_values + attention(call, heads * width) + gated
    return call.layers * layer


def token_head(call: Call) -> int:
    """A label for each token; for language models a dense layer, then the vocabulary."""
    if call.task in ("masked-lm", "causal-lm"):
        dense = product(call.tokens, call.hidden, call.embedding)
        return dense + product(call.tokens, call.embedding, call.vocabulary)
    return product(call.tokens, call.hidden, call.labels)


def bert_flops(call: Call) -> int:
    """BERT and the many models with its layers. The pooler runs for features too, unused."""
    pooler = product(call.batch, call.hidden, call.hidden)
    if call.task == FEATURES:
        return encoder_body(call) + pooler
    if call.task == "sequence-classification":
        return encoder_body(call) + pooler + product(call.batch, call.hidden, call.labels)
    return encoder_body(call) + token_head(call)


def flops_without_pooler(call: Call) -> int:
    """ELECTRA, DeBERTa, DistilBERT: only the classifier has a dense layer before its labels."""
    if call.task == FEATURES:
        return encoder_body(call)
    if call.task == "sequence-classification":
        width = int(call.config.get("pooler_hidden_size") or call.hidden)
        head = product(call.batch, width, width) + product(call.batch, width, call.labels)
        return encoder_body(call) + head
    return encoder_body(call) + token_head(call)
