"""Batches: random ids, tokenised texts, and what the record keeps of them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.errors import ModelError, UsageError
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import InputSet, random_inputs, tokenised_inputs
from honed.models.obtain import locate
from honed.models.texts import read_texts


def at(folder):
    return locate(ModelRequest(str(folder)))


def same(one, other):
    assert one.lengths == other.lengths
    assert one.source == other.source
    assert len(one.batches) == len(other.batches)
    for a, b in zip(one.batches, other.batches, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype == np.int64
            np.testing.assert_array_equal(a[name], b[name])


class TestRandom:
    def test_shape_and_contents(self, hand_made):
        made = random_inputs(at(hand_made()), 3, 16, 7, batches=2)
        assert made.lengths == (16,) * 6
        assert len(made.batches) == 2
        for batch in made.batches:
            assert set(batch) == {"input_ids", "attention_mask", "token_type_ids"}
            assert all(ids.shape == (3, 16) for ids in batch.values())
            assert all(ids.dtype == np.int64 for ids in batch.values())
            assert batch["attention_mask"].all()
            assert not batch["token_type_ids"].any()
        a, b = (batch["input_ids"] for batch in made.batches)
        assert (a != b).any()

    def test_the_seed_decides(self, hand_made):
        checkpoint = at(hand_made())
        same(random_inputs(checkpoint, 2, 8, 1), random_inputs(checkpoint, 2, 8, 1))
        a, b = (random_inputs(checkpoint, 2, 8, s).batches[0]["input_ids"] for s in (1, 2))
        assert (a != b).any()

    @pytest.mark.parametrize(
        ("vocab", "first"), [(30522, 1000), (10_000, 500), (5000, 5), (120, 5), (6, 5), (1, 0)]
    )
    def test_special_ids_are_left_out(self, hand_made, vocab, first):
        checkpoint = at(hand_made(vocab_size=vocab, pad_token_id=vocab - 2, eos_token_id=[7, 8]))
        ids = random_inputs(checkpoint, 64, 64, 0).batches[0]["input_ids"]
        assert first <= ids.min()
        assert ids.max() < vocab
        if vocab > 100:
            assert not np.isin(ids, [vocab - 2, 7, 8]).any()
            assert len(np.unique(ids)) > vocab * 0.08

    def test_no_segments_where_the_model_has_none(self, hand_made):
        made = random_inputs(at(hand_made(model_type="distilbert")), 1, 4, 0)
        assert set(made.batches[0]) == {"input_ids", "attention_mask"}

    def test_too_long_names_both_numbers(self, hand_made):
        checkpoint = at(hand_made(model_type="roberta", pad_token_id=1, type_vocab_size=1))
        random_inputs(checkpoint, 1, 62, 0)
        with pytest.raises(ModelError, match="sequence_length=63 is longer than the 62") as raised:
            random_inputs(checkpoint, 1, 63, 0)
        assert "62 or less" in raised.value.hint


@pytest.mark.engine
class TestTokenised:
    TEXTS = ("the cat", "the cat sat on the mat", "a dog")

    def test_padded_to_the_longest_of_the_batch_and_wrapped(self, hand_made, vocabulary):
        made = tokenised_inputs(at(vocabulary(hand_made())), self.TEXTS, 2, 32)
        assert made.lengths == (4, 8, 4, 4)
        one, two = made.batches
        assert one["input_ids"].shape == (2, 8)
        np.testing.assert_array_equal(one["input_ids"][0], [2, 10, 11, 3, 0, 0, 0, 0])
        np.testing.assert_array_equal(one["attention_mask"][0], [1, 1, 1, 1, 0, 0, 0, 0])
        assert two["input_ids"].shape == (2, 4)
        np.testing.assert_array_equal(two["input_ids"][1], one["input_ids"][0, :4])

    def test_cut_at_the_sequence_length(self, hand_made, vocabulary):
        made = tokenised_inputs(at(vocabulary(hand_made())), self.TEXTS, 3, 5)
        assert made.lengths == (4, 5, 4)
        assert made.batches[0]["input_ids"][1, -1] == 3  # the separator stays

    def test_more_rows_than_texts(self, hand_made, vocabulary):
        made = tokenised_inputs(at(vocabulary(hand_made())), self.TEXTS[:2], 5, 32)
        assert made.lengths == (4, 8, 4, 8, 4)

    def test_as_the_tokenizer_itself_pads(self, hand_made, vocabulary):
        from transformers import AutoTokenizer

        folder = vocabulary(hand_made())
        theirs = AutoTokenizer.from_pretrained(folder)(
            list(self.TEXTS), padding=True, return_tensors="np"
        )
        (batch,) = tokenised_inputs(at(folder), self.TEXTS, 3, 32).batches
        for name, ids in batch.items():
            np.testing.assert_array_equal(ids, theirs[name])

    def test_a_tokenizer_of_another_model(self, hand_made, vocabulary):
        folder = vocabulary(hand_made(vocab_size=8))
        with pytest.raises(ModelError, match="vocabulary has 8 entries"):
            tokenised_inputs(at(folder), self.TEXTS, 1, 16)

    def test_a_broken_tokenizer(self, hand_made):
        folder = hand_made()
        (folder / "tokenizer.json").write_text("{")
        with pytest.raises(ModelError, match=r"tokenizer in .* could not be used"):
            tokenised_inputs(at(folder), self.TEXTS, 1, 16)


def test_no_tokenizer(hand_made):
    with pytest.raises(ModelError, match="has no tokenizer") as raised:
        tokenised_inputs(at(hand_made()), ["a"], 1, 16)
    assert "random ids" in raised.value.hint


def test_texts_may_not_be_longer_than_the_model(hand_made, vocabulary):
    with pytest.raises(ModelError, match="longer than the 64"):
        tokenised_inputs(at(vocabulary(hand_made())), ["a"], 1, 65)


def test_no_texts(hand_made, vocabulary):
    with pytest.raises(ModelError, match="no texts"):
        tokenised_inputs(at(vocabulary(hand_made())), [], 1, 16)


def made_of(lengths, width=None):
    """An InputSet of one batch with those lengths."""
    width = width or max(lengths)
    mask = np.array([[1] * n + [0] * (width - n) for n in lengths], np.int64)
    batch = {"input_ids": mask * 9, "attention_mask": mask}
    return InputSet((batch,), tuple(lengths), "texts")


class TestFacts:
    def test_exact_lengths_while_they_are_few(self):
        facts = made_of([3, 8, 3, 4], 8).facts()
        assert facts.length_histogram == {"3": 2, "4": 1, "8": 1}
        assert facts.sequences == 4
        assert facts.padding_share == pytest.approx(1 - 18 / 32)
        assert facts.source == "texts"

    def test_buckets_when_they_are_many(self):
        facts = made_of(list(range(1, 101))).facts()
        assert facts.length_histogram == {
            "1": 1, "2": 1, "3-4": 2, "5-8": 4, "9-16": 8, "17-32": 16, "33-64": 32, "65-128": 36,
        }  # fmt: skip

    def test_random_ids_have_no_padding(self, hand_made):
        facts = random_inputs(at(hand_made()), 2, 8, 0).facts()
        assert facts.padding_share == 0
        assert facts.length_histogram == {"8": 2}

    @given(st.lists(st.integers(1, 600), min_size=1, max_size=80))
    def test_every_sequence_is_counted_once(self, lengths):
        facts = made_of(lengths).facts()
        assert sum(facts.length_histogram.values()) == len(lengths) == facts.sequences
        assert 0 <= facts.padding_share < 1


@given(
    rows=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    lengths=st.lists(st.integers(1, 9), min_size=48, max_size=48),
    keep=st.integers(0, 60),
)
def test_saved_and_cut_sets_hold_the_same_rows(rows, lengths, keep, tmp_path_factory):
    batches, at_row = [], 0
    for count in rows:
        batches.append(made_of(lengths[at_row : at_row + count]).batches[0])
        at_row += count
    made = InputSet(tuple(batches), tuple(lengths[:at_row]), "tëxts")
    path = tmp_path_factory.mktemp("inputs") / "inputs.npz"
    made.save(path)
    same(InputSet.load(path), made)

    head = made.head(keep)
    assert head.lengths == made.lengths[:keep]
    assert sum(len(b["input_ids"]) for b in head.batches) == min(keep, at_row)
    masks = [row.sum() for b in head.batches for row in b["attention_mask"]]
    assert masks == list(head.lengths)


def test_texts_are_read_as_sentence_transformers_reads_them(hand_made, vocabulary):
    folder = vocabulary(hand_made())
    cased = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(cased))
    texts = ["THE CAT", "the dog sat on the mat"]
    plain = tokenised_inputs(at(folder), texts, 2, 16)
    assert (plain.batches[0]["input_ids"][0] == 1).any()  # [UNK]
    settings = {"do_lower_case": True, "max_seq_length": 6}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    prompt = {"prompts": {"q": "on mat "}, "default_prompt_name": "q"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompt))
    read = tokenised_inputs(at(folder), texts, 2, 16)
    words = ["[CLS]", "on", "mat", "the", "cat", "[SEP]"]
    known = (folder / "vocab.txt").read_text().split("\n")
    assert [known[i] for i in read.batches[0]["input_ids"][0]] == words
    assert read.lengths == (6, 6)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestTexts:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("t.txt", "one\n\n  \ntwo, 2\r\nthree\n"),
            ("t.txt", b"\xef\xbb\xbfone\ntwo, 2\nthree"),
            ("t.jsonl", '{"text": "one"}\n\n{"text": "two, 2", "n": 1}\n{"text": "three"}'),
            ("t.csv", 'id,text\n1,one\n2,"two, 2"\n3,three\n\n4,\n'),
            ("t.TSV", "text\tid\none\t1\ntwo, 2\t2\nthree\t3\n"),
        ],
    )
    def test_every_kind_reads_the_same(self, tmp_path, name, content):
        assert read_texts(write(tmp_path / name, content), "text") == ["one", "two, 2", "three"]

    @given(
        texts=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=5)
    )
    def test_jsonl_gives_back_any_text(self, texts, tmp_path_factory):
        path = tmp_path_factory.mktemp("texts") / "t.jsonl"
        lines = [json.dumps({"body": t}, ensure_ascii=False) for t in texts]
        write(path, "\n".join(lines))
        expected = [t for t in texts if t.strip()]
        if expected:
            assert read_texts(path, "body") == expected
        else:
            with pytest.raises(UsageError, match="holds no text"):
                read_texts(path, "body")

    def test_a_cell_of_a_table_may_be_a_whole_document(self, tmp_path):
        """The csv module alone refuses a cell of more than 131072 characters."""
        long = "word " * 40_000
        path = write(tmp_path / "t.csv", f'id,text\n1,"{long}"\n2,short\n'.encode())
        assert read_texts(path, "text") == [long, "short"]
        assert csv.field_size_limit() < len(long)  # other readers in the process keep their limit

    @pytest.mark.parametrize(
        ("name", "content", "message", "hint"),
        [
            ("t.jsonl", '{"text": "a"}\n{"text": ', "line 2: not valid JSON", "one object"),
            ("t.jsonl", '{"text": "a"}\n["b"]', "line 2: not an object", "text"),
            ("t.jsonl", '{"body": "a", "id": 1}', "line 1: there is no text", "body or id"),
            ("t.jsonl", '{"text": 5}', "line 1: text is not a text", "text"),
            ("t.csv", "id,body\n1,a\n", "line 1: there is no text", "inputs_field=id or body"),
            ("t.csv", "id,text\n1,a\n2\n", "line 3: 1 columns, text is number 2", "quote"),
            ("t.csv", "", "there is no text", "empty"),
            ("t.txt", "", "holds no text", "one text"),
            ("t.txt", "\n \n", "holds no text", "one text"),
            ("t.jsonl", "", "holds no text", "one text"),
            ("t.txt", b"ok\nfine\nna\xefve\n", "line 3: not UTF-8", "iconv"),
            (
                "t.jsonl",
                '{"text": "a"}\n{"text": "b \\ud800 c"}',
                "line 2: the text holds half",
                "fffd",
            ),
            ("t.txt", "one\ntw\0o\n", "line 2: the file holds a NUL", "iconv -f UTF-16"),
            ("t.csv", 'text\none\n"two\nthree\n', "unexpected end of data", "quotes"),
            ("t.pdf", "x", "honed reads no .pdf files", ".jsonl"),
            ("t", "x", "honed reads no such files", ".txt"),
        ],
    )
    def test_faults_name_the_line(self, tmp_path, name, content, message, hint):
        with pytest.raises(UsageError) as raised:
            read_texts(write(tmp_path / name, content), "text")
        assert message in raised.value.message
        assert hint in raised.value.hint

    def test_only_line_feeds_end_a_line(self, tmp_path):
        apart = "\u2028\u2029\x85\x0c\x0b\x1c\x1d\x1e\r"
        lines = [f"one{character}two" for character in apart]
        for end in ("\n", "\r\n"):
            path = write(tmp_path / "t.txt", end.join(lines).encode())
            assert read_texts(path, "text") == lines
        path = write(tmp_path / "t.jsonl", "\n".join(json.dumps({"text": t}) for t in lines))
        assert read_texts(path, "text") == lines
        path = write(tmp_path / "t.csv", "\n".join(["text", *lines[:-1]]).encode())
        assert read_texts(path, "text") == lines[:-1]

    def test_whole_surrogate_pairs_are_read(self, tmp_path):
        path = write(tmp_path / "t.jsonl", '{"text": "\\ud83d\\ude00"}')
        assert read_texts(path, "text") == ["\U0001f600"]

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(UsageError, match="No such file"):
            read_texts(tmp_path / "none.txt", "text")

    def test_a_folder(self, tmp_path):
        (tmp_path / "a.txt").mkdir()
        with pytest.raises(UsageError, match="Is a directory"):
            read_texts(tmp_path / "a.txt", "text")
