"""A converted encoder on ctranslate2, as in a script written by hand: ids to a mean vector.

python -P ctranslate2.py FOLDER BATCH LENGTH WARMUP_S DURATION_S THREADS
FOLDER is a converted model. (-P: the script has the name of the package that it imports.)
"""

import sys
from pathlib import Path

import ctranslate2
import numpy as np

sys.path.append(str(Path(__file__).parent))
from _timing import report, shape_arguments, threads

folder, batch, length = shape_arguments()

encoder = ctranslate2.Encoder(folder, compute_type="float32", intra_threads=threads())
ids = np.random.default_rng(0).integers(1000, 20000, (batch, length)).astype(np.int32)
feed = ctranslate2.StorageView.from_array(ids)
lengths = ctranslate2.StorageView.from_array(np.full(batch, length, np.int32))
shares = np.full((batch, 1, length), 1 / length, np.float32)  # of each token in the mean


def call():
    tokens = np.asarray(encoder.forward_batch(feed, lengths).last_hidden_state)
    return (shares @ tokens)[:, 0]


report(call)
