"""The encoders that keras-hub has, and the names of their layers in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from honed.errors import UnsupportedError
from honed.models.checkpoint import Checkpoint
from honed.models.tasks import FEATURES

TASKS = (FEATURES, "sequence-classification")


@dataclass(frozen=True, slots=True)
class Layout:
    """The checkpoint's name of the blocks, and of each layer inside a block.

    `sizes` maps keras-hub's constructor arguments to configuration keys.
    """

    blocks: str
    layers: Mapping[str, str]
    sizes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """One model type. `head` is its classifier: a dense layer, the activation, the last layer.

    Without `segments` keras-hub's class has no token types, so the vector of the first type is
    added to every position. `offset`: positions begin after the padding id.
    """

    backbone: str
    head: tuple[str, str, str]
    layout: Layout
    segments: bool = False
    offset: bool = False
    sizes: Mapping[str, str] = field(default_factory=dict)


_BERT = Layout(
    blocks="encoder.layer",
    layers={
        "query": "attention.self.query", "key": "attention.self.key",
        "value": "attention.self.value", "attention_output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm", "intermediate": "intermediate.dense",
        "output": "output.dense", "output_norm": "output.LayerNorm",
    },
    sizes={
        "num_layers": "num_hidden_layers", "num_heads": "num_attention_heads",
        "hidden_dim": "hidden_size", "intermediate_dim": "intermediate_size",
    },
)  # fmt: skip
_DISTILBERT = Layout(
    blocks="transformer.layer",
    layers={
        "query": "attention.q_lin", "key": "attention.k_lin", "value": "attention.v_lin",
        "attention_output": "attention.out_lin", "attention_norm": "sa_layer_norm",
        "intermediate": "ffn.lin1", "output": "ffn.lin2", "output_norm": "output_layer_norm",
    },
    sizes={"num_layers": "n_layers", "num_heads": "n_heads", "hidden_dim": "dim",
           "intermediate_dim": "hidden_dim"},
)  # fmt: skip

_TWO_LAYERS = "classifier.dense", "tanh", "classifier.out_proj"
_WORDS = {"vocabulary_size": "vocab_size"}
FAMILIES: Mapping[str, Family] = {
    "bert": Family("BertBackbone", ("bert.pooler.dense", "tanh", "classifier"), _BERT,
                   segments=True, sizes={**_WORDS, "num_segments": "type_vocab_size"}),
    "roberta": Family("RobertaBackbone", _TWO_LAYERS, _BERT, offset=True, sizes=_WORDS),
    "xlm-roberta": Family("XLMRobertaBackbone", _TWO_LAYERS, _BERT, offset=True, sizes=_WORDS),
    "distilbert": Family("DistilBertBackbone", ("pre_classifier", "relu", "classifier"),
                         _DISTILBERT, sizes=_WORDS),
    "electra": Family("ElectraBackbone", ("classifier.dense", "gelu", "classifier.out_proj"),
                      _BERT, segments=True,
                      sizes={"vocab_size": "vocab_size", "embedding_dim": "embedding_size",
                             "num_segments": "type_vocab_size"}),
}  # fmt: skip

# transformers' activation -> Keras' name, and whether it is the tanh approximation. keras-hub's
# classes have a fixed activation, which may differ from the checkpoint's.
ACTIVATIONS: Mapping[str, tuple[str, bool]] = {
    "gelu": ("gelu", False), "gelu_new": ("gelu", True), "gelu_fast": ("gelu", True),
    "gelu_pytorch_tanh": ("gelu", True), "relu": ("relu", False), "silu": ("silu", False),
    "swish": ("silu", False),
}  # fmt: skip


def family_of(checkpoint: Checkpoint) -> Family:
    """The checkpoint's family; UnsupportedError if keras-hub would compute another model."""
    family = FAMILIES.get(checkpoint.model_type)
    if family is None:
        raise UnsupportedError(
            f"the keras backend does not know the model type {checkpoint.model_type!r}",
            f"it runs {', '.join(FAMILIES)}; backend=torch runs them all",
        )
    if checkpoint.task not in TASKS:
        raise UnsupportedError(
            f"the keras backend has no head for task={checkpoint.task}",
            f"task={','.join(TASKS)}, or another backend",
        )
    config = checkpoint.config
    for unsupported in (
        activation(checkpoint) not in ACTIVATIONS and f"hidden_act={activation(checkpoint)}",
        config.get("position_embedding_type", "absolute") != "absolute" and "relative positions",
        config.get("is_decoder") and "causal attention",
        not family.segments and config.get("type_vocab_size", 0) > 1 and "token types",
    ):
        if unsupported:
            what = f"keras-hub's {family.backbone} has no {unsupported}"
            raise UnsupportedError(what, "backend=torch")
    return family


def activation(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    return str(config.get("hidden_act") or config.get("activation") or "gelu")


def sizes(checkpoint: Checkpoint) -> dict[str, int]:
    """The backbone's constructor arguments."""
    family = family_of(checkpoint)
    keys = {**family.layout.sizes, **family.sizes}
    arguments = {argument: int(checkpoint.config[key]) for argument, key in keys.items()}
    return arguments | {"max_sequence_length": rows(checkpoint)}


def rows(checkpoint: Checkpoint) -> int:
    """The number of position vectors that are used."""
    assert checkpoint.max_positions is not None, "every family here has position embeddings"
    return checkpoint.max_positions
