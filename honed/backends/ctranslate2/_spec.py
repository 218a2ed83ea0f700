"""Convert a checkpoint to CTranslate2's encoder specification, tensor by tensor.

CTranslate2's own converter reads a configuration attribute that transformers 5 no longer has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from honed.errors import UnsupportedError
from honed.models.checkpoint import Checkpoint
from honed.models.tasks import FEATURES

Tensors = Mapping[str, Any]  # name -> float32 numpy array

# activation in the configuration -> CTranslate2's Activation; "gelu" is the exact one.
_ACTIVATIONS = {
    "gelu": "GELU", "gelu_python": "GELU", "gelu_fast": "GELUTanh", "gelu_new": "GELUTanh",
    "gelu_pytorch_tanh": "GELUTanh", "quick_gelu": "GELUSigmoid", "relu": "RELU", "silu": "SWISH",
    "swish": "SWISH",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Names:
    """A family's names of tensors and of configuration attributes."""

    layer: str = "encoder.layer.{}."
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attended: str = "attention.output.dense"
    attended_norm: str = "attention.output.LayerNorm"
    up: str = "intermediate.dense"
    down: str = "output.dense"
    norm: str = "output.LayerNorm"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    activation: str = "hidden_act"
    pooled: tuple[str, str, str] = ("pooler.dense", "Tanh", "classifier")


_BERT = _Names()
_ROBERTA = _Names(pooled=("classifier.dense", "Tanh", "classifier.out_proj"))
_DISTILBERT = _Names(
    layer="transformer.layer.{}.", query="attention.q_lin", key="attention.k_lin",
    value="attention.v_lin", attended="attention.out_lin", attended_norm="sa_layer_norm",
    up="ffn.lin1", down="ffn.lin2", norm="output_layer_norm", layers="n_layers", heads="n_heads",
    activation="activation", pooled=("pre_classifier", "RELU", "classifier"),
)  # fmt: skip
_FAMILIES = {
    "bert": _BERT, "camembert": _ROBERTA, "distilbert": _DISTILBERT, "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Converted:
    """The specification; whether it has segments; the weights of the layers that run in numpy: the
    last of a classifier, or those behind the pooling."""

    spec: Any
    segments: bool
    head: dict[str, Any] = field(default_factory=dict)


def convert(checkpoint: Checkpoint) -> Converted:
    from ctranslate2.specs import common_spec, transformer_spec

    from honed.models.torch.module import load_module
    from honed.models.torch.vectors import tensors_of

    names = _FAMILIES[checkpoint.model_type]
    module = load_module(checkpoint)
    config = module.config
    # The tensors of the body without prefix; and those of the whole model, by either name.
    tensors = {name: t.numpy() for name, t in module.base_model.state_dict().items()}
    head = {name: t.numpy() for name, t in module.state_dict().items()} | tensors
    activation = getattr(config, names.activation)
    if activation not in _ACTIVATIONS:
        raise UnsupportedError(f"CTranslate2 has no {activation} activation", "backend=torch")
    segments = tensors.get("embeddings.token_type_embeddings.weight")
    two_segments = segments is not None and len(segments) > 1
    encoder = transformer_spec.TransformerEncoderSpec(
        getattr(config, names.layers),
        getattr(config, names.heads),
        pre_norm=False,
        activation=common_spec.Activation[_ACTIVATIONS[activation]],
        layernorm_embedding=True,
        num_source_embeddings=2 if two_segments else 1,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    encoder.scale_embeddings = False
    _set_embeddings(encoder, checkpoint.model_type, config, tensors)
    for index, layer in enumerate(encoder.layer):
        _set_layer(layer, names.layer.format(index), names, tensors)
    spec = _with_pooler(encoder, checkpoint.task, names, head)
    # A specification must have a vocabulary, although inputs are ids already.
    spec.register_vocabulary([str(i) for i in range(spec.get_vocabulary_size())])
    spec.config.layer_norm_epsilon = float(getattr(config, "layer_norm_eps", 1e-12))
    if checkpoint.task == FEATURES:
        return Converted(spec, two_segments, tensors_of(checkpoint))
    return Converted(spec, two_segments, _linear(head, names.pooled[2]))


def weights_bytes(converted: Converted) -> int:
    """The bytes of all weights. A tensor that is stored twice is an alias, which is a string."""
    variables = converted.spec.variables().values()
    head = sum(int(array.nbytes) for array in converted.head.values())
    return head + sum(int(v.num_bytes()) for v in variables if not isinstance(v, str))


def _with_pooler(encoder: Any, task: str, names: _Names, head: Tensors) -> Any:
    """The encoder with a classifier's first layer on the first token, which the engine calls a
    pooler; the encoder alone for feature extraction."""
    from ctranslate2.specs import common_spec, transformer_spec

    if task == FEATURES:
        return transformer_spec.TransformerEncoderModelSpec(encoder)
    dense, activation, _ = names.pooled
    spec = transformer_spec.TransformerEncoderModelSpec(
        encoder, pooling_layer=True, pooling_activation=common_spec.Activation[activation]
    )
    _set_linear(spec.pooler_dense, head, dense)
    return spec


def _set_embeddings(encoder: Any, model_type: str, config: Any, tensors: Tensors) -> None:
    words = tensors["embeddings.word_embeddings.weight"]
    positions = tensors["embeddings.position_embeddings.weight"]
    segments = tensors.get("embeddings.token_type_embeddings.weight")
    if _FAMILIES[model_type] is _ROBERTA:
        # RoBERTa counts positions from the padding id + 1, the engine from 0.
        positions = positions[int(config.pad_token_id) + 1 :]
    if segments is not None and len(segments) > 1:
        encoder.embeddings[1].weight = segments
    elif segments is not None:
        positions = positions + segments[0]  # the only segment there is
    encoder.embeddings[0].weight = words
    encoder.position_encodings.encodings = positions
    _set_norm(encoder.layernorm_embedding, tensors, "embeddings.LayerNorm")


def _set_layer(layer: Any, prefix: str, names: _Names, tensors: Tensors) -> None:
    import numpy as np

    def parts(kind: str) -> Any:
        return np.concatenate(
            [tensors[f"{prefix}{n}.{kind}"] for n in (names.query, names.key, names.value)]
        )

    fused, out = layer.self_attention.linear
    fused.weight, fused.bias = parts("weight"), parts("bias")
    _set_linear(out, tensors, prefix + names.attended)
    _set_norm(layer.self_attention.layer_norm, tensors, prefix + names.attended_norm)
    _set_linear(layer.ffn.linear_0, tensors, prefix + names.up)
    _set_linear(layer.ffn.linear_1, tensors, prefix + names.down)
    _set_norm(layer.ffn.layer_norm, tensors, prefix + names.norm)


def _linear(tensors: Tensors, name: str) -> dict[str, Any]:
    return {kind: tensors[f"{name}.{kind}"] for kind in ("weight", "bias")}


def _set_linear(spec: Any, tensors: Tensors, name: str) -> None:
    spec.weight, spec.bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def _set_norm(spec: Any, tensors: Tensors, name: str) -> None:
    spec.gamma, spec.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
