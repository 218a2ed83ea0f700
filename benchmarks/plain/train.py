"""A training step of a language model, as in a script written by hand.

python -P train.py FOLDER BATCH LENGTH WARMUPS STEPS THREADS PRECISION
FOLDER is a checkpoint. Prints the mean of each phase: {"forward": ..., "backward": ..., ...}.
"""

import json
import statistics
import sys
from timeit import default_timer

import torch
from transformers import AutoModelForCausalLM

folder, (batch, length, warmups, steps, threads) = sys.argv[1], map(int, sys.argv[2:7])
precision = sys.argv[7]

if threads:
    torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
for parameter in model.parameters():
    parameter.data = parameter.data.clone()  # out of the file, which is mapped
model.config.use_cache = False
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
ids = torch.randint(500, model.config.vocab_size, (batch, length))
mask = torch.ones_like(ids)
times = {"forward": [], "backward": [], "optimizer": [], "step": []}

for step in range(warmups + steps):
    began = default_timer()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = model(input_ids=ids, attention_mask=mask, labels=ids).loss
    after_forward = default_timer()
    loss.backward()
    del loss
    after_backward = default_timer()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    ended = default_timer()
    if step >= warmups:
        times["forward"].append(after_forward - began)
        times["backward"].append(after_backward - after_forward)
        times["optimizer"].append(ended - after_backward)
        times["step"].append(ended - began)

print(json.dumps({name: statistics.mean(taken) for name, taken in times.items()}))
