"""keras-hub's BERT in a tf.function, as in a script written by hand: ids to a mean vector.

python -P keras.py FOLDER BATCH LENGTH WARMUP_S DURATION_S THREADS
FOLDER holds a config.json; the weights are random, since the time does not depend on them. (-P:
the script has the name of a package that it imports.)
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from keras import ops

sys.path.append(str(Path(__file__).parent))
from _timing import report, shape_arguments, threads

folder, batch, length = shape_arguments()

tf.config.threading.set_intra_op_parallelism_threads(threads())

with open(f"{folder}/config.json") as file:
    config = json.load(file)
backbone = keras_hub.models.BertBackbone(
    vocabulary_size=config["vocab_size"],
    num_layers=config["num_hidden_layers"],
    num_heads=config["num_attention_heads"],
    hidden_dim=config["hidden_size"],
    intermediate_dim=config["intermediate_size"],
    max_sequence_length=config["max_position_embeddings"],
    num_segments=config["type_vocab_size"],
    dropout=0.0,
)
for block in backbone.transformer_layers:  # keras-hub's own GELU is the one that tanh approximates
    block._feedforward_intermediate_dense.activation = lambda x: keras.activations.gelu(
        x, approximate=False
    )
tokens = backbone.output["sequence_output"]
kept = ops.expand_dims(ops.cast(backbone.input["padding_mask"], tokens.dtype), -1)
model = keras.Model(backbone.input, ops.sum(tokens * kept, axis=1) / ops.sum(kept, axis=1))

ids = np.random.default_rng(0).integers(1000, 20000, (batch, length)).astype(np.int32)
feed = {
    "token_ids": tf.constant(ids),
    "padding_mask": tf.ones((batch, length), tf.int32),
    "segment_ids": tf.zeros((batch, length), tf.int32),
}


@tf.function
def graph(feed):
    return model(feed, training=False)


def call():
    return graph(feed)


report(call)
