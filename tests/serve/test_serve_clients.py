"""Real clients against the real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from served import Server

TEXTS = ["the cat sat on the mat", "hello world"]


def test_openai(server: Server) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    by_default = client.embeddings.create(input=TEXTS, model="x")  # the client asks for base64
    floats = client.embeddings.create(input=TEXTS, model="x", encoding_format="float")
    for one, other in zip(by_default.data, floats.data, strict=True):
        assert np.float32(one.embedding).tobytes() == np.float32(other.embedding).tobytes()
    assert by_default.usage.prompt_tokens == 12
    ids = client.embeddings.create(input=[[2, 7, 3], [2, 8, 9, 3]], model="x", dimensions=5)
    assert [len(d.embedding) for d in ids.data] == [5, 5]
    assert [m.id for m in client.models.list()] == ["tiny-embedder"]
    with pytest.raises(openai.UnprocessableEntityError, match="vocabulary of 1000"):
        client.embeddings.create(input=[[100_000]], model="x")
    with pytest.raises(openai.BadRequestError, match="cannot be empty"):
        client.embeddings.create(input="", model="x")


def test_openai_comes_back_after_an_overload(start: Callable[..., Server]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import openai

    server = start("fake.latency_us=30000", "max_wait_s=0.15", "batch_rows=1")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=10)
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda _: client.embeddings.create(input="the cat", model="x"), range(32))
        )
    assert len(answers) == 32
    text = server.ask("/metrics").body.decode()
    assert 'honed_admission_rejected_total{reason="overloaded"} 0.0' not in text


def test_huggingface_hub(server: Server, hub_client: Callable[[Server], Any]) -> None:
    client = hub_client(server)
    vectors = client.feature_extraction(TEXTS)
    assert np.asarray(vectors).shape == (2, 16)
    raw = client.feature_extraction(
        TEXTS[0], normalize=False, truncate=True, truncation_direction="left"
    )
    assert np.asarray(raw).shape == (1, 16)
    found = client.sentence_similarity(TEXTS[0], other_sentences=TEXTS)
    assert found[0] == pytest.approx(1.0, abs=1e-5)
