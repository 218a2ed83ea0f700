"""For any body the answer is JSON with a status from the list, and the server lives."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from served import Server

STATUSES = {200, 400, 413, 415, 422, 424, 429, 503, 504}
POSTED = ["/embed", "/embed_all", "/embed_sparse", "/predict", "/rerank", "/v1/rerank",
          "/similarity", "/tokenize", "/decode", "/v1/embeddings", "/", "/invocations", "/vertex",
          "/v2/models/tiny-embedder/infer"]  # fmt: skip
KEYS = ["inputs", "input", "ids", "query", "texts", "documents", "truncate", "normalize",
        "dimensions", "truncation_direction", "prompt_name", "encoding_format", "instances",
        "parameters", "raw_scores", "top_n", "source_sentence", "sentences"]  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=20),
    st.sampled_from(["the cat", "", " ", "\0", "[PAD]", "Left", "base64"]),
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=8,
)
BODIES = st.one_of(
    st.dictionaries(st.sampled_from(KEYS), VALUES).map(lambda body: json.dumps(body).encode()),
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: json.dumps({"inputs": text}).encode()),
)


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(POSTED), body=BODIES)
def test_any_body_is_answered_in_json(server: Server, path: str, body: bytes) -> None:
    answer = server.ask(path, body)
    assert answer.status in STATUSES, (answer.status, answer.body, server.output()[-2000:])
    json.loads(answer.body)
    assert server.process.poll() is None
