"""A converted graph on openvino, as in a script written by hand: ids to a mean vector.

python -P openvino.py FOLDER BATCH LENGTH WARMUP_S DURATION_S THREADS
FOLDER holds model.xml. (-P: the script has the name of the package that it imports.)
"""

import sys
from pathlib import Path

import numpy as np
import openvino

sys.path.append(str(Path(__file__).parent))
from _timing import report, shape_arguments, threads

folder, batch, length = shape_arguments()

core = openvino.Core()
# Without the hint it computes in bf16 where the CPU has it, and this is about fp32.
settings = {"INFERENCE_PRECISION_HINT": "f32"}
if threads():
    settings["INFERENCE_NUM_THREADS"] = str(threads())
compiled = core.compile_model(f"{folder}/model.xml", "CPU", settings)
request = compiled.create_infer_request()
arrays = {
    "input_ids": np.random.default_rng(0).integers(1000, 20000, (batch, length)),
    "attention_mask": np.ones((batch, length), np.int64),
    "token_type_ids": np.zeros((batch, length), np.int64),
}
feed = tuple(
    openvino.Tensor(arrays[i.get_any_name()], shared_memory=True) for i in compiled.inputs
)


def call():
    return request.infer(feed, share_inputs=True, share_outputs=False)


report(call)
