"""An exported graph on onnxruntime, as in a script written by hand: ids to a mean vector.

python -P onnxruntime.py FOLDER BATCH LENGTH WARMUP_S DURATION_S THREADS
FOLDER holds model.onnx. (-P: the script has the name of the package that it imports.)
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.append(str(Path(__file__).parent))
from _timing import report, shape_arguments, threads

folder, batch, length = shape_arguments()

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads()
session = onnxruntime.InferenceSession(
    f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"]
)
feed = {
    "input_ids": np.random.default_rng(0).integers(1000, 20000, (batch, length)),
    "attention_mask": np.ones((batch, length), np.int64),
    "token_type_ids": np.zeros((batch, length), np.int64),
}
feed = {i.name: feed[i.name] for i in session.get_inputs()}


def call():
    return session.run(None, feed)


report(call)
