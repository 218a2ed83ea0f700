"""Write a setting of Keras as files: a SavedModel of TensorFlow, or an exported program of JAX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from honed.backends.base import Delivery, LoadRequest
from honed.backends.keras.step import INPUTS, KerasStep

FACTS_FILE = "engine.json"
JAX_PROGRAM, JAX_WEIGHTS = "model.jax", "weights.npz"
_TENSORFLOW_SNIPPET = """import tensorflow as tf

model = tf.saved_model.load("model")
outputs = model.signatures["serving_default"](**int32_batch)   # token_ids, padding_mask, ..."""
_JAX_SNIPPET = """import jax

program = jax.export.deserialize(bytearray(open("model/model.jax", "rb").read()))
print(program.in_avals)   # the weights of weights.npz in their order, then the inputs"""


def deliver(request: LoadRequest, step: KerasStep, folder: Path) -> Delivery:
    """`step` is the loaded model of the request."""
    mode = str(request.case.get("keras.mode"))
    is_jax = mode == "jax"
    facts: dict[str, Any] = {
        "inputs": {name: INPUTS[name] for name in step.input_names},
        "output": step.output_name,
    }
    if is_jax:
        facts["types"] = _write_program(request, step, folder)
    else:
        _write_saved_model(step, mode, folder)
    (folder / FACTS_FILE).write_text(json.dumps(facts))
    name = "delivered_jax.py" if is_jax else "delivered_tensorflow.py"
    return Delivery(
        Path(__file__).with_name(name), {"threads": request.threads},
        ("jax", "flatbuffers", "numpy") if is_jax else ("tensorflow", "numpy"),
        _JAX_SNIPPET if is_jax else _TENSORFLOW_SNIPPET,
    )  # fmt: skip


def _write_saved_model(step: KerasStep, mode: str, folder: Path) -> None:
    import tensorflow as tf

    model = step.model

    def serve(feed: Any) -> Any:
        return tf.cast(model(feed, training=False), tf.float32)

    signature = {name: tf.TensorSpec([None, None], tf.int32, name) for name in step.input_names}
    holder = tf.Module()
    holder.kept = [weight.value for weight in model.weights]
    holder.serve = tf.function(
        serve, input_signature=[signature], jit_compile=mode == "xla", autograph=False
    )
    tf.saved_model.save(holder, str(folder), signatures={"serving_default": holder.serve})


def _write_program(request: LoadRequest, step: KerasStep, folder: Path) -> list[str]:
    """Write the program and its weights; returns the types of the weights in their order."""
    import jax

    model = step.model
    trainable = len(model.trainable_variables)
    order = [*model.trainable_variables, *model.non_trainable_variables]
    values = [weight.value for weight in order]

    def call(weights: Any, feed: Any) -> Any:
        outputs, _ = model.stateless_call(
            weights[:trainable], weights[trainable:], feed, training=False
        )
        return outputs.astype("float32")

    # The program holds the places of the code that it came from: keep the names of files alone.
    jax.config.update("jax_hlo_source_file_canonicalization_regex", ".*/")
    longest = request.checkpoint.max_positions
    limits = () if longest is None else (f"length <= {longest}",)
    shape = jax.export.symbolic_shape("batch, length", constraints=limits)
    feed = {name: jax.ShapeDtypeStruct(shape, np.int32) for name in step.input_names}
    given = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in values]
    program = jax.export.export(jax.jit(call), platforms=("cpu",))(given, feed)
    (folder / JAX_PROGRAM).write_bytes(program.serialize())
    arrays = [np.asarray(value) for value in values]
    named = {str(place): array for place, array in enumerate(arrays)}
    np.savez(folder / JAX_WEIGHTS, allow_pickle=False, **named)
    return [str(array.dtype) for array in arrays]
