"""The routes, key by key, against a server of the fake engine."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import LONGEST, Server

from honed.serve.refusals import REASONS

TEXTS = ["the cat sat on the mat", "hello world", "a dog"]


def error_of(server: Server, path: str, body: Any) -> tuple[int, str]:
    answer = server.ask(path, body)
    return answer.status, answer.json["error_type"]


def test_embed_gives_unit_vectors_in_the_order_of_the_texts(server: Server) -> None:
    answer = server.ask("/embed", {"inputs": TEXTS})
    vectors = np.array(answer.json, np.float32)
    assert answer.status == 200
    assert vectors.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    for text, vector in zip(TEXTS, vectors, strict=True):
        alone = np.array(server.ask("/embed", {"inputs": text}).json, np.float32)
        assert alone.shape == (1, 16)
        np.testing.assert_allclose(alone[0], vector, atol=1e-5)


def test_embed_without_normalising_gives_the_raw_vector(server: Server) -> None:
    raw = np.array(server.ask("/embed", {"inputs": "the cat", "normalize": False}).json)
    unit = np.array(server.ask("/embed", {"inputs": "the cat"}).json)
    assert abs(np.linalg.norm(raw) - 1) > 1e-3
    np.testing.assert_allclose(raw / np.linalg.norm(raw), unit, atol=1e-6)


def test_dimensions_are_cut_before_the_length_is_normalised(server: Server) -> None:
    whole = np.array(server.ask("/embed", {"inputs": "the cat"}).json)[0]
    cut = np.array(server.ask("/embed", {"inputs": "the cat", "dimensions": 4}).json)[0]
    np.testing.assert_allclose(cut, whole[:4] / np.linalg.norm(whole[:4]), atol=1e-5)
    for wrong in (0, 17):
        body = {"inputs": "a", "dimensions": wrong}
        assert error_of(server, "/embed", body) == (422, "Validation")


def test_token_ids_are_used_as_they_are(server: Server) -> None:
    ids = [token["id"] for token in server.ask("/tokenize", {"inputs": "the cat"}).json[0]]
    by_text = server.ask("/embed", {"inputs": "the cat"}).body
    assert server.ask("/embed", {"inputs": ids}).body == by_text
    mixed = np.array(server.ask("/embed", {"inputs": ["hello", ids]}).json)
    np.testing.assert_allclose(mixed[1], server.ask("/embed", {"inputs": ids}).json[0], atol=1e-5)
    for wrong in (-1, 1000, 2**32):
        assert error_of(server, "/embed", {"inputs": [[2, wrong]]}) == (422, "Validation")


def test_prompts_stand_before_the_text(server: Server) -> None:
    named = server.ask("/embed", {"inputs": "sat", "prompt_name": "query"}).body
    assert named == server.ask("/embed", {"inputs": "the cat sat"}).body
    assert error_of(server, "/embed", {"inputs": "a", "prompt_name": "no"}) == (422, "Validation")


def test_long_texts_are_cut_or_refused(server: Server) -> None:
    long = "cat " * (LONGEST + 10)
    answer = server.ask("/embed", {"inputs": [long, "cat"]})
    assert answer.status == 200
    assert answer.headers["x-truncated"] == "1"
    refused = server.ask("/embed", {"inputs": long, "truncate": False})
    assert refused.status == 422
    assert f"less than {LONGEST} tokens. Given: {LONGEST + 12}" in refused.json["error"]
    ends = {
        direction: server.ask(
            "/embed", {"inputs": "dog " + long, "truncation_direction": direction}
        ).body
        for direction in ("Left", "left", "Right", "right")
    }
    assert ends["Left"] == ends["left"] != ends["Right"] == ends["right"]
    body = {"inputs": "a", "truncation_direction": "up"}
    assert error_of(server, "/embed", body) == (422, "Validation")


def test_empty_inputs_are_refused_and_blank_ones_are_not(server: Server) -> None:
    for empty in ("", [], [""], ["a", ""], [[]]):
        assert error_of(server, "/embed", {"inputs": empty}) == (400, "Empty")
    assert server.ask("/embed", {"inputs": " "}).status == 200


def test_unknown_fields_are_ignored(server: Server) -> None:
    body = {"inputs": "a", "encoding_format": "float", "top_n": 3, "parameters": {}}
    assert server.ask("/embed", body).status == 200


def test_the_headers_say_what_a_request_cost(server: Server) -> None:
    headers = server.ask("/embed", {"inputs": ["the cat", "a"]}).headers
    assert headers["x-compute-tokens"] == "7"
    assert headers["x-compute-characters"] == "8"
    for name in ("x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time",
                 "x-inference-time"):  # fmt: skip
        assert int(headers[name]) >= 0
    assert "infer;dur=" in headers["server-timing"]


def test_what_is_not_json_of_the_right_shape_is_refused(server: Server) -> None:
    plain = {"Content-Type": "text/plain"}
    zipped = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert server.ask("/embed", b"{}", plain).status == 415
    assert server.ask("/embed", b"{}", zipped).status == 415
    assert server.ask("/embed", b"{").status == 400
    assert server.ask("/embed", b'{"inputs": NaN}').status == 400
    assert server.ask("/embed", b'{"inputs": "\\ud800"}').status in (400, 422)
    assert server.ask("/embed", b"[" * 100_000).status in (400, 422)
    assert server.ask("/embed", {"inputs": 3}).status == 422
    assert server.ask("/embed", {}).status == 422
    assert server.ask("/nothing").status == 404
    assert server.ask("/embed").status == 405


def test_similarity_is_the_cosine(server: Server) -> None:
    inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS}
    found = server.ask("/similarity", {"inputs": inputs}).json
    vectors = np.array(server.ask("/embed", {"inputs": TEXTS}).json)
    np.testing.assert_allclose(found, vectors @ vectors[0], atol=1e-5)
    assert server.ask("/", {"inputs": inputs}).json == found
    nothing = {"source_sentence": "a", "sentences": []}
    assert error_of(server, "/similarity", {"inputs": nothing}) == (400, "Empty")


def test_tokens_have_places_in_bytes(server: Server) -> None:
    text = "über the cat"
    tokens = server.ask("/tokenize", {"inputs": text}).json[0]
    assert tokens[0] == {"id": 2, "text": "[CLS]", "special": True, "start": None, "stop": None}
    for token in tokens[1:-1]:
        assert text.encode()[token["start"] : token["stop"]].decode() == token["text"]
    bare = server.ask("/tokenize", {"inputs": [text], "add_special_tokens": False}).json[0]
    assert bare == tokens[1:-1]
    ids = [token["id"] for token in tokens]
    assert server.ask("/decode", {"ids": ids}).json == [text]
    kept = server.ask("/decode", {"ids": [ids], "skip_special_tokens": False}).json[0]
    assert kept.startswith("[CLS]")
    assert server.ask("/decode", {"ids": []}).status == 400
    assert server.ask("/decode", {"ids": [5000]}).status == 422


def test_info_names_the_limits(server: Server) -> None:
    info = server.ask("/info").json
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert info["max_input_length"] == LONGEST
    assert info["max_client_batch_size"] == 2048
    assert info["served_model_name"] == "tiny-embedder"
    assert info["honed"]["status"] in ("ok", "unproven")


@pytest.mark.parametrize("path", ["/predict", "/rerank", "/embed_all", "/embed_sparse"])
def test_other_tasks_are_refused_by_name(server: Server, path: str) -> None:
    bodies: dict[str, Any] = {"/rerank": {"query": "a", "texts": ["b"]}}
    body = bodies.get(path, {"inputs": "a"})
    assert error_of(server, path, body) == (424, "Backend")


def test_openai_floats_and_base64_are_the_same_bits(server: Server) -> None:
    body: dict[str, Any] = {"input": TEXTS, "model": "any"}
    floats = server.ask("/v1/embeddings", body).json
    encoded = server.ask("/v1/embeddings", {**body, "encoding_format": "base64"}).json
    assert floats["object"] == "list"
    assert floats["model"] == "tiny-embedder"
    assert floats["usage"] == {"prompt_tokens": 16, "total_tokens": 16}
    for index, (plain, packed) in enumerate(zip(floats["data"], encoded["data"], strict=True)):
        assert plain["index"] == packed["index"] == index
        bits = np.frombuffer(base64.b64decode(packed["embedding"]), "<f4")
        assert np.array(plain["embedding"], np.float32).tobytes() == bits.tobytes()
    short = server.ask("/embeddings", {"input": "a", "dimensions": 3}).json
    assert len(short["data"][0]["embedding"]) == 3


def test_openai_errors_are_of_both_dialects(server: Server) -> None:
    answer = server.ask("/v1/embeddings", {"input": "a", "encoding_format": "hex"})
    assert answer.status == 422
    body = answer.json
    assert body["error"]["message"] == body["message"]
    assert body["error"]["code"] == body["code"] == 422
    assert set(body["error"]) == {"message", "type", "param", "code"}


def test_models_are_listed(server: Server) -> None:
    listed = server.ask("/v1/models").json
    (model,) = listed["data"]
    assert listed["object"] == "list"
    assert set(model) == {"id", "object", "created", "owned_by"}
    assert server.ask("/v1/models/tiny-embedder").json == model
    assert server.ask("/v1/models/other").status == 404


def test_kserve_infers_one_row_for_each_text(server: Server) -> None:
    assert server.ask("/v2/health/live").json["live"] is True
    assert server.ask("/v2/health/ready").status == 200
    assert server.ask("/v2/models/tiny-embedder/ready").status == 200
    assert server.ask("/v2").json["name"] == "honed"
    assert server.ask("/v2/models/tiny-embedder").json["inputs"][0]["datatype"] == "BYTES"
    given = {"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS[:2]}
    answer = server.ask("/v2/models/tiny-embedder/infer", {"inputs": [given], "id": "7"}).json
    (output,) = answer["outputs"]
    assert answer["id"] == "7"
    assert output["shape"] == [2, 16]
    vectors = np.array(server.ask("/embed", {"inputs": TEXTS[:2]}).json, np.float32)
    np.testing.assert_allclose(np.array(output["data"]).reshape(2, 16), vectors, atol=1e-6)
    wrong = server.ask("/v2/models/other/infer", {"inputs": [given]})
    assert (wrong.status, set(wrong.json)) == (404, {"error"})


def test_the_root_takes_the_bodies_of_the_models_task(server: Server) -> None:
    by_root = server.ask("/", {"inputs": "the cat"}).body
    assert by_root == server.ask("/embed", {"inputs": "the cat"}).body
    assert by_root == server.ask("/invocations", {"inputs": "the cat"}).body
    answer = server.ask("/vertex", {"instances": [{"inputs": "the cat"}]}).json
    assert answer == {"predictions": [server.ask("/embed", {"inputs": "the cat"}).json]}


def test_health_is_an_empty_200(server: Server) -> None:
    for path in ("/health", "/ping", "/"):
        answer = server.ask(path)
        assert (answer.status, answer.body) == (200, b"")


def test_the_page_is_for_browsers_and_loads_nothing(server: Server) -> None:
    page = server.ask("/", headers={"Accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")
    assert b"http://" not in page.body
    assert b"https://" not in page.body
    state = server.ask("/state").json
    assert state["ready"]
    assert [worker["index"] for worker in state["workers"]] == [0, 1]


def test_every_metric_exists_from_the_start(server: Server) -> None:
    text = server.ask("/metrics").body.decode()
    for name in ("honed_requests_total", "honed_queue_seconds_bucket", "te_request_count",
                 "te_request_success", "te_request_failure", "te_queue_size",
                 "te_request_inference_duration_sum", "te_batch_next_size_count",
                 "honed_worker_state", "honed_predicted_wait_seconds"):  # fmt: skip
        assert f"\n{name}" in text, name
    for reason in REASONS:
        assert f'honed_admission_rejected_total{{reason="{reason}"}}' in text
    before = counted(text, 'te_request_success{method="single"}')
    server.ask("/embed", {"inputs": "a"})
    after = counted(server.ask("/metrics").body.decode(), 'te_request_success{method="single"}')
    assert after == before + 1


def counted(text: str, series: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith(series)).split()[1])


def test_what_it_logs_has_no_traceback(server: Server) -> None:
    assert "Traceback" not in Path(server.log.name).read_text()
