"""Which tensors of a checkpoint are which part of a BERT-shaped encoder.

It covers BERT and MiniLM, RoBERTa, XLM-R, CamemBERT, DistilBERT and ELECTRA, with every head that
honed runs. `encoder_layout` returns None for a model whose computation it does not describe. No
framework is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from honed.backends.lowmem.layout import (
    Dense,
    Embeddings,
    EncoderLayout,
    Head,
    Layer,
    Linear,
    Norm,
)
from honed.backends.lowmem.stored import StoredTensor
from honed.errors import ModelError
from honed.models.checkpoint import Checkpoint
from honed.models.families import family_of
from honed.models.tasks import FEATURES

# transformers' names of activations -> those that a schedule has to know.
_ACTIVATIONS = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu",
    "gelu_fast": "gelu_tanh", "silu": "silu", "swish": "silu", "tanh": "tanh",
}  # fmt: skip
_TOGETHER = "do config.json and the weights belong together?"
_MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra")


@dataclass(frozen=True, slots=True)
class _LayerNames:
    """What a family calls the parts of a layer, below the name of the layer."""

    layers: str
    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    intermediate: str
    output: str
    output_norm: str


_BERT_LAYER = _LayerNames(
    "encoder.layer", "attention.self.query", "attention.self.key", "attention.self.value",
    "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense",
    "output.dense", "output.LayerNorm",
)  # fmt: skip
_DISTILBERT_LAYER = _LayerNames(
    "transformer.layer", "attention.q_lin", "attention.k_lin", "attention.v_lin",
    "attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm",
)  # fmt: skip


def encoder_layout(
    checkpoint: Checkpoint, stored: Mapping[str, StoredTensor]
) -> EncoderLayout | None:
    """The layout for the checkpoint's task; None if this file does not describe the model.

    ModelError if the checkpoint lacks a tensor that the layout needs.
    """
    config = checkpoint.config
    activation = _ACTIVATIONS.get(str(config.get("hidden_act", config.get("activation", "gelu"))))
    if (
        checkpoint.model_type not in _MODEL_TYPES
        or checkpoint.own_code
        or activation is None
        or config.get("position_embedding_type", "absolute") != "absolute"
        or config.get("is_decoder")
        or config.get("add_cross_attention")
    ):
        return None
    finder = _TensorFinder(checkpoint, stored)
    embeddings = finder.embeddings()
    layers = tuple(finder.layer(index) for index in range(finder.layer_count))
    if not layers:
        raise ModelError(f"config.json in {checkpoint.folder} names no layers", _TOGETHER)
    layout = EncoderLayout(
        hidden=stored[layers[0].query.weight].shape[0],
        heads=int(config.get("num_attention_heads") or config.get("n_heads") or 0),
        intermediate=stored[layers[0].intermediate.weight].shape[0],
        activation=activation,
        embeddings=embeddings,
        layers=layers,
        head=finder.head(activation),
        pooler=finder.pooler(),
    )
    _check_sizes(layout, checkpoint, stored)
    return layout


class _TensorFinder:
    """Finds the tensors of one checkpoint by the names of its family."""

    def __init__(self, checkpoint: Checkpoint, stored: Mapping[str, StoredTensor]) -> None:
        self.checkpoint, self.stored = checkpoint, stored
        self.config: Mapping[str, Any] = checkpoint.config
        self.is_distilbert = checkpoint.model_type == "distilbert"
        self.layer_names = _DISTILBERT_LAYER if self.is_distilbert else _BERT_LAYER
        # A checkpoint of a task has the body below the name of the family: "bert.encoder...".
        end = "embeddings.word_embeddings.weight"
        found = [name for name in stored if name.endswith(end)]
        self.body = min(found, key=len).removesuffix(end) if found else ""

    @property
    def layer_count(self) -> int:
        return int(self.config.get("num_hidden_layers") or self.config.get("n_layers") or 0)

    @property
    def epsilon(self) -> float:
        return 1e-12 if self.is_distilbert else float(self.config.get("layer_norm_eps", 1e-12))

    def name(self, *choices: str) -> str:
        """The first of the names that the checkpoint has."""
        for choice in choices:
            if choice in self.stored:
                return choice
        raise ModelError(
            f"the weights in {self.checkpoint.folder} lack {choices[0]}",
            _TOGETHER,
        )

    def linear(self, path: str) -> Linear:
        return Linear(self.name(f"{path}.weight"), self.name(f"{path}.bias"))

    def norm(self, path: str) -> Norm:
        """Checkpoints from TensorFlow call the two parts gamma and beta."""
        weight = self.name(f"{path}.weight", f"{path}.gamma")
        return Norm(weight, self.name(f"{path}.bias", f"{path}.beta"), self.epsilon)

    def embeddings(self) -> Embeddings:
        path = f"{self.body}embeddings"
        segments = f"{path}.token_type_embeddings.weight"
        counts = family_of(self.checkpoint.model_type).positions_after_padding
        padding = self.config.get("pad_token_id")
        projected = f"{self.body}embeddings_project.weight" in self.stored
        return Embeddings(
            words=self.name(f"{path}.word_embeddings.weight"),
            positions=self.name(f"{path}.position_embeddings.weight"),
            segments=segments if segments in self.stored else None,
            norm=self.norm(f"{path}.LayerNorm"),
            projection=self.linear(f"{self.body}embeddings_project") if projected else None,
            counts_from_padding=(1 if padding is None else int(padding)) if counts else None,
        )

    def layer(self, index: int) -> Layer:
        names, path = self.layer_names, f"{self.body}{self.layer_names.layers}.{index}"
        return Layer(
            self.linear(f"{path}.{names.query}"),
            self.linear(f"{path}.{names.key}"),
            self.linear(f"{path}.{names.value}"),
            self.linear(f"{path}.{names.attention_output}"),
            self.norm(f"{path}.{names.attention_norm}"),
            self.linear(f"{path}.{names.intermediate}"),
            self.linear(f"{path}.{names.output}"),
            self.norm(f"{path}.{names.output_norm}"),
        )

    def pooler(self) -> Linear | None:
        path = f"{self.body}pooler.dense"
        unused = self.checkpoint.task != FEATURES or f"{path}.weight" not in self.stored
        return None if unused else self.linear(path)

    def head(self, activation: str) -> Head:
        task = self.checkpoint.task
        if task == FEATURES:
            return Head()
        if task == "sequence-classification":
            return self._classifier()
        if task == "token-classification":
            return Head("all", (Dense(self.linear("classifier")),))
        if task == "question-answering":
            return Head("all", (Dense(self.linear("qa_outputs")),))
        return self._vocabulary(activation)

    def _classifier(self) -> Head:
        kind = self.checkpoint.model_type
        if kind == "bert":
            first = Dense(self.linear(f"{self.body}pooler.dense"), "tanh")
            return Head("first", (first, Dense(self.linear("classifier"))))
        if kind == "distilbert":
            first = Dense(self.linear("pre_classifier"), "relu")
            return Head("first", (first, Dense(self.linear("classifier"))))
        first = Dense(self.linear("classifier.dense"), "gelu" if kind == "electra" else "tanh")
        return Head("first", (first, Dense(self.linear("classifier.out_proj"))))

    def _vocabulary(self, activation: str) -> Head:
        """A dense layer with a norm, then the vocabulary, whose weight is often the words'."""
        words = f"{self.body}embeddings.word_embeddings.weight"
        bias: tuple[str, ...]
        kind = self.checkpoint.model_type
        if kind == "bert":
            path = "cls.predictions"
            dense, norm = f"{path}.transform.dense", f"{path}.transform.LayerNorm"
            table, bias = f"{path}.decoder.weight", (f"{path}.bias", f"{path}.decoder.bias")
        elif kind == "distilbert":
            dense, norm = "vocab_transform", "vocab_layer_norm"
            table, bias = "vocab_projector.weight", ("vocab_projector.bias",)
        elif kind == "electra":
            activation = "gelu"  # whatever the configuration says
            dense, norm = "generator_predictions.dense", "generator_predictions.LayerNorm"
            table, bias = "generator_lm_head.weight", ("generator_lm_head.bias",)
        else:
            activation = "gelu"
            dense, norm = "lm_head.dense", "lm_head.layer_norm"
            table, bias = "lm_head.decoder.weight", ("lm_head.bias", "lm_head.decoder.bias")
        vocabulary = Linear(self.name(table, words), self.name(*bias))
        return Head(
            "all", (Dense(self.linear(dense), activation, self.norm(norm)), Dense(vocabulary))
        )


def _check_sizes(
    layout: EncoderLayout, checkpoint: Checkpoint, stored: Mapping[str, StoredTensor]
) -> None:
    """ModelError if the tensors do not fit each other: a product would fail in mid-run."""
    wrong = [
        f"{name} is {list(stored[name].shape)}, not {list(shape)}"
        for name, shape in _expected_shapes(layout, checkpoint, stored)
        if not _is_shape(stored[name].shape, shape)
    ]
    if not layout.heads or layout.hidden % layout.heads:
        wrong.append(f"{layout.hidden} numbers cannot be {layout.heads} attention heads")
    if wrong:
        raise ModelError(
            f"the sizes of {checkpoint.folder} do not fit each other: {wrong[0]}", _TOGETHER
        )


def _is_shape(shape: tuple[int, ...], expected: tuple[int | str, ...]) -> bool:
    """A word in `expected` stands for any number."""
    pairs = zip(shape, expected, strict=False)
    return len(shape) == len(expected) and all(e in (n, "any") for n, e in pairs)


def _expected_shapes(
    layout: EncoderLayout, checkpoint: Checkpoint, stored: Mapping[str, StoredTensor]
) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    """Every tensor with the shape that the others ask for."""
    hidden, wide, embeddings = layout.hidden, layout.intermediate, layout.embeddings
    width = stored[embeddings.words].shape[-1] if embeddings.projection is not None else hidden
    yield embeddings.words, (checkpoint.vocab_size, width)
    for table in embeddings.tables[1:]:
        yield table, ("any", width)
    yield from _norm_shapes(embeddings.norm, width)
    if embeddings.projection is not None:
        yield from _linear_shapes(embeddings.projection, hidden, width)
    for layer in layout.layers:
        for linear in (layer.query, layer.key, layer.value, layer.attention_output):
            yield from _linear_shapes(linear, hidden, hidden)
        yield from _linear_shapes(layer.intermediate, wide, hidden)
        yield from _linear_shapes(layer.output, hidden, wide)
        yield from _norm_shapes(layer.attention_norm, hidden)
        yield from _norm_shapes(layer.output_norm, hidden)
    inputs = hidden
    for dense in layout.head.layers:
        outputs = stored[dense.linear.weight].shape[0]
        yield from _linear_shapes(dense.linear, outputs, inputs)
        if dense.norm is not None:
            yield from _norm_shapes(dense.norm, outputs)
        inputs = outputs
    if layout.pooler is not None:
        yield from _linear_shapes(layout.pooler, hidden, hidden)


def _linear_shapes(
    linear: Linear, outputs: int, inputs: int
) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    yield linear.weight, (outputs, inputs)
    if linear.bias is not None:
        yield linear.bias, (outputs,)


def _norm_shapes(norm: Norm, width: int) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    yield from ((name, (width,)) for name in norm.names)
