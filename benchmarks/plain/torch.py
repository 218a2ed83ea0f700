"""transformers and torch, eager, as one would write it by hand: ids to a mean vector.

python -P torch.py FOLDER BATCH LENGTH WARMUP_S DURATION_S -> {"p50_s": ..., "calls": ...}
FOLDER is a checkpoint. (-P: the script has the name of the package that it imports.)
"""

import json
import statistics
import sys
import time

import torch
from transformers import AutoModel

folder, batch, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
warmup_s, duration_s = float(sys.argv[4]), float(sys.argv[5])

model = AutoModel.from_pretrained(folder).eval()
ids = torch.randint(1000, model.config.vocab_size, (batch, length))
mask = torch.ones_like(ids)
segments = torch.zeros_like(ids)


def call():
    with torch.inference_mode():
        tokens = model(ids, attention_mask=mask, token_type_ids=segments).last_hidden_state
        kept = mask.unsqueeze(-1).to(tokens.dtype)  # [batch, length, 1]
        return (tokens * kept).sum(1) / kept.sum(1)


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
