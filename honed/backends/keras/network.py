"""The checkpoint as one Keras model: keras-hub's backbone, its weights, and the task's head."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from honed.backends.keras.carry import FILE
from honed.backends.keras.families import ACTIVATIONS, activation, family_of, sizes
from honed.backends.keras.vectors import of_texts
from honed.models.checkpoint import Checkpoint
from honed.models.evaluation.labels import Labels
from honed.models.tasks import FEATURES

# precision -> Keras' dtype policy when weights are loaded. Keras then quantises to int8 itself.
POLICIES = {"fp32": "float32", "bf16": "bfloat16", "int8": "float32"}


def network(checkpoint: Checkpoint, precision: str, folder: Path) -> Any:
    """A keras.Model from a dict of inputs to the task's one output."""
    import keras
    import keras_hub

    family = family_of(checkpoint)
    policy = POLICIES[precision]
    make = getattr(keras_hub.models, family.backbone)
    backbone = make(**sizes(checkpoint), dropout=0.0, dtype=policy)
    _as_configured(backbone, checkpoint)
    result = backbone.output
    tokens = result["sequence_output"] if isinstance(result, dict) else result
    layers = dict(_layers(backbone))
    if checkpoint.task == FEATURES:
        output, dense = of_texts(tokens, backbone.input["padding_mask"], checkpoint, folder)
        layers |= dense
    else:
        _, between, _ = family.head
        size = tokens.shape[-1]
        layers["head.hidden"] = keras.layers.Dense(size, activation=_gelu(between), dtype=policy)
        layers["head.last"] = keras.layers.Dense(Labels.of(checkpoint.config).count, dtype=policy)
        output = layers["head.last"](layers["head.hidden"](tokens[:, 0]))
    # The model holds only layers that the output depends on, so no unused pooler.
    model = keras.Model(backbone.input, output)
    _assign(model, layers, folder / FILE, precision)
    if precision == "int8":
        # Kernels and embeddings are quantised now, activations in each call; the rest stays fp32.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of every kind of layer without an int8 form
            model.quantize("int8")
    return model


def _gelu(name: str) -> Any:
    """A Keras activation by transformers' name."""
    import keras

    keras_name, approximate = ACTIVATIONS.get(name, (name, False))
    if keras_name != "gelu":
        return keras.activations.get(keras_name)
    return lambda x: keras.activations.gelu(x, approximate=approximate)


def _as_configured(backbone: Any, checkpoint: Checkpoint) -> None:
    """Set the checkpoint's activation and epsilon of the norms, which keras-hub's classes fix."""
    epsilon = float(checkpoint.config.get("layer_norm_eps", 1e-12))
    backbone.embeddings_layer_norm.epsilon = epsilon
    for block in backbone.transformer_layers:
        block._feedforward_intermediate_dense.activation = _gelu(activation(checkpoint))
        block._self_attention_layer_norm.epsilon = epsilon
        block._feedforward_layer_norm.epsilon = epsilon


def _layers(backbone: Any) -> Iterator[tuple[str, Any]]:
    """honed's name of each layer, as `carry` stores it, and the Keras layer."""
    # In some families one layer holds the embeddings of tokens and positions.
    both = getattr(backbone, "embeddings", backbone)
    yield "tokens", both.token_embedding
    yield "positions", both.position_embedding
    if hasattr(backbone, "segment_embedding"):
        yield "segments", backbone.segment_embedding
    yield "norm", backbone.embeddings_layer_norm
    if hasattr(backbone, "embeddings_projection"):
        yield "projection", backbone.embeddings_projection
    for index, block in enumerate(backbone.transformer_layers):
        attention = block._self_attention_layer
        yield f"{index}.query", attention.query_dense
        yield f"{index}.key", attention.key_dense
        yield f"{index}.value", attention.value_dense
        yield f"{index}.attention_output", attention.output_dense
        yield f"{index}.attention_norm", block._self_attention_layer_norm
        yield f"{index}.intermediate", block._feedforward_intermediate_dense
        yield f"{index}.output", block._feedforward_output_dense
        yield f"{index}.output_norm", block._feedforward_layer_norm


def _assign(model: Any, layers: dict[str, Any], file: Path, precision: str) -> None:
    """Assign every tensor of the file, and check that every weight of the model got one."""
    import ml_dtypes
    from safetensors import safe_open

    assigned = set()
    with safe_open(file, framework="np") as stored:
        for name in stored.keys():  # noqa: SIM118 - it cannot be iterated itself
            layer, _, variable = name.rpartition(".")
            tensor = stored.get_tensor(name)
            if precision == "bf16":
                tensor = tensor.view(ml_dtypes.bfloat16)
            target = getattr(layers[layer], variable)
            target.assign(tensor.reshape(target.shape))
            assigned.add(target.path)
    missed = {w.path for w in model.weights} ^ assigned
    assert not missed, f"not carried over: {sorted(missed)}"
