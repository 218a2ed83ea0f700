"""The clients of llama-index, haystack and LiteLLM against `honed serve`.

    python -m benchmarks.clients

Each is asked for the vectors of texts or the order of documents, and its answer is compared with
that of a plain request. The clients require about a hundred packages, so they are no part of the
test suite: they are installed once into an environment of their own, in
~/.cache/honed-benchmarks/clients, which is kept. The embedder is the real MiniLM, the reranker a
small BERT with random weights.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks._environments import made
from benchmarks._servers import MODEL, honed_server

_PACKAGES = (
    "llama-index-embeddings-text-embeddings-inference",
    "huggingface-api-haystack",
    "litellm",
)
_SCRIPT = Path(__file__).with_name("plain") / "clients.py"


def reranker(folder: Path) -> Path:
    """A small cross-encoder with random weights and the tokenizer of MiniLM."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        num_labels=1,
    )  # fmt: skip
    module = transformers.BertForSequenceClassification(config)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    module.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        if (MODEL / name).exists():
            shutil.copy(MODEL / name, folder / name)
    return folder


def main() -> None:
    python = made("clients", _PACKAGES)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="honed-")))
        common = ["backend=onnxruntime", "threads=1"]
        embedder = honed_server("embedder", [f"model={MODEL}", *common], stack)
        ranker = honed_server("reranker", [f"model={reranker(folder / 'ranker')}", *common], stack)
        urls = [f"http://127.0.0.1:{server.port}" for server in (embedder, ranker)]
        done = subprocess.run([str(python), str(_SCRIPT), *urls], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
