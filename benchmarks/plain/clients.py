"""Asks servers by the clients of llama-index, haystack and LiteLLM: one line of JSON for each.

    python clients.py EMBEDDER_URL RERANKER_URL

Vectors are compared with those of a plain POST /embed, and orders with those of a plain /rerank.
It imports nothing of honed, because it runs in an environment that has only the clients.
"""

from __future__ import annotations

import json
import math
import sys
import urllib.request
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

TEXTS = ["the river is wide", "a letter to the engineer", "winter in the garden"]
QUERY = "cold weather"
_TIMEOUT_S = 60


def post(url: str, body: Any) -> Any:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        return json.loads(answer.read())


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


class Asked:
    """The two servers, and what they give to a plain request."""

    def __init__(self, embedder: str, reranker: str) -> None:
        self.embedder, self.reranker = embedder, reranker
        self._vectors = post(f"{embedder}/embed", {"inputs": [*TEXTS, QUERY]})
        ranked = post(f"{reranker}/rerank", {"query": QUERY, "texts": TEXTS})
        self.order = [each["index"] for each in ranked]

    def check_vectors(self, found: Sequence[Sequence[float]]) -> str:
        wanted = self._vectors[: len(found)]
        least = min(cosine(a, b) for a, b in zip(found, wanted, strict=True))
        return f"least cosine {least:.6f}" if least > 0.9999 else f"WRONG: cosine {least:.6f}"

    def check_order(self, found: Sequence[int]) -> str:
        right = list(found) == self.order[: len(found)]
        return f"order {list(found)}" if right else f"WRONG: {list(found)}, not {self.order}"


def llama_index(asked: Asked) -> str:
    from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

    client = TextEmbeddingsInference(model_name="any", base_url=asked.embedder)
    vectors = client.get_text_embedding_batch(TEXTS)
    return asked.check_vectors([*vectors, client.get_query_embedding(QUERY)])


def haystack_embedder(asked: Asked) -> str:
    from haystack import Document
    from haystack_integrations.components.embedders.huggingface_api import (
        HuggingFaceAPIDocumentEmbedder,
        HuggingFaceAPITextEmbedder,
    )

    words: dict[str, Any] = {
        "api_type": "text_embeddings_inference", "api_params": {"url": asked.embedder},
        "normalize": True,
    }  # fmt: skip
    documents = [Document(content=text) for text in TEXTS]
    found = HuggingFaceAPIDocumentEmbedder(**words).run(documents=documents)["documents"]
    query = HuggingFaceAPITextEmbedder(**words).run(text=QUERY)["embedding"]
    return asked.check_vectors([*(each.embedding for each in found), query])


def haystack_ranker(asked: Asked) -> str:
    from haystack import Document
    from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker

    documents = [Document(content=text, meta={"place": i}) for i, text in enumerate(TEXTS)]
    ranker = HuggingFaceTEIRanker(url=asked.reranker, token=None)
    found = ranker.run(query=QUERY, documents=documents)["documents"]
    return asked.check_order([each.meta["place"] for each in found])


def litellm_embedding(asked: Asked) -> str:
    import litellm

    found = litellm.embedding(
        model="openai/any", input=[*TEXTS, QUERY], api_base=f"{asked.embedder}/v1", api_key="none"
    )
    return asked.check_vectors([each["embedding"] for each in found.data])


def litellm_huggingface_rerank(asked: Asked) -> str:
    return _litellm_rerank(asked, "huggingface/any")


def litellm_infinity_rerank(asked: Asked) -> str:
    # With documents it expects strings, and those of Cohere's and Jina's dialect are objects.
    return _litellm_rerank(asked, "infinity/any", return_documents=False)


def _litellm_rerank(asked: Asked, model: str, *, return_documents: bool = True) -> str:
    import litellm

    found = litellm.rerank(
        model=model, query=QUERY, documents=TEXTS, top_n=2, api_base=asked.reranker,
        api_key="none", return_documents=return_documents,
    )  # fmt: skip
    return asked.check_order([each["index"] for each in found.results])


CLIENTS: tuple[tuple[str, Callable[[Asked], str]], ...] = (
    ("llama-index-embeddings-text-embeddings-inference", llama_index),
    ("huggingface-api-haystack", haystack_embedder),
    ("huggingface-api-haystack", haystack_ranker),
    ("litellm", litellm_embedding),
    ("litellm", litellm_huggingface_rerank),
    ("litellm", litellm_infinity_rerank),
)


def main() -> None:
    asked = Asked(sys.argv[1], sys.argv[2])
    wrong = 0
    for package, ask in CLIENTS:
        try:
            said = ask(asked)
        except Exception as error:  # noqa: BLE001 - what a client raises is the result
            said = f"WRONG: {type(error).__name__}: {error}"
        wrong += said.startswith("WRONG")
        print(f"{package} {version(package)} {ask.__name__}: {said}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
