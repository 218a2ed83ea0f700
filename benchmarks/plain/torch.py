"""transformers and torch, eager, as in a script written by hand: ids to a mean vector.

python -P torch.py FOLDER BATCH LENGTH WARMUP_S DURATION_S THREADS
FOLDER is a checkpoint. (-P: the script has the name of the package that it imports.)
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModel

sys.path.append(str(Path(__file__).parent))
from _timing import report, shape_arguments, threads

folder, batch, length = shape_arguments()

if threads():
    torch.set_num_threads(threads())
model = AutoModel.from_pretrained(folder).eval()
ids = torch.randint(1000, model.config.vocab_size, (batch, length))
mask = torch.ones_like(ids)
segments = torch.zeros_like(ids)


def call():
    with torch.inference_mode():
        tokens = model(ids, attention_mask=mask, token_type_ids=segments).last_hidden_state
        kept = mask.unsqueeze(-1).to(tokens.dtype)  # [batch, length, 1]
        return (tokens * kept).sum(1) / kept.sum(1)


report(call)
