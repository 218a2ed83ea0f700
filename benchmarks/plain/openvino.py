"""A converted graph on openvino, as one would run it by hand: ids to a mean vector.

python -P openvino.py FOLDER BATCH LENGTH WARMUP_S DURATION_S -> {"p50_s": ..., "calls": ...}
FOLDER holds model.xml. (-P: the script has the name of the package that it imports.)
"""

import json
import statistics
import sys
import time

import numpy as np
import openvino

folder, batch, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
warmup_s, duration_s = float(sys.argv[4]), float(sys.argv[5])

core = openvino.Core()
# Without the hint it computes in bf16 where the CPU has it, and this is about fp32.
compiled = core.compile_model(f"{folder}/model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
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


def timed(seconds, least):
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < least:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times


timed(warmup_s, least=3)
times = timed(duration_s, least=10)
print(json.dumps({"p50_s": statistics.median(times), "calls": len(times)}))
