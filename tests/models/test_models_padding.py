"""Padding policies: every sequence once, as wide as they say, and told from the batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.case import Case
from honed.models import make_inputs
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import InputSet, drawn_inputs
from honed.models.knobs.padding import BUCKET_TOKENS, PADDING, POLICIES, Padding, read_back
from honed.models.obtain import locate

LIMIT = 64
lengths = st.lists(st.integers(1, LIMIT), min_size=1, max_size=60)
policies = st.builds(
    Padding,
    policy=st.sampled_from(POLICIES),
    bucket_tokens=st.none() | st.integers(1, 100),
    limit=st.just(LIMIT),
    seed=st.integers(0, 99),
)


@given(policies, lengths, st.integers(1, 9))
def test_no_sequence_is_lost_doubled_or_cut(padding, lengths, batch_size):
    groups = padding.groups(lengths, batch_size)
    assert sorted(row for g in groups for row in g.rows) == list(range(len(lengths)))
    for group in groups:
        assert len(group.rows) <= batch_size
        assert max(lengths[row] for row in group.rows) <= group.width <= LIMIT
    assert groups == padding.groups(lengths, batch_size)


@given(policies, lengths, st.integers(1, 9))
def test_what_a_policy_makes_fits_it(padding, lengths, batch_size):
    groups = padding.groups(lengths, batch_size)
    assert padding.fits([([lengths[r] for r in g.rows], g.width) for g in groups])


@given(lengths, st.integers(1, 9))
def test_sorting_never_adds_padding_and_max_has_the_most(lengths, batch_size):
    whole = lengths * batch_size  # full batches only: a short last one may land anywhere

    def fed(policy):
        groups = Padding(policy, None, LIMIT).groups(whole, batch_size)
        return sum(len(g.rows) * g.width for g in groups)

    assert sum(whole) <= fed("sorted") <= fed("longest") <= fed("buckets") <= fed("max")


@given(policies)
def test_buckets_bound_the_number_of_shapes(padding):
    widths = {padding.width(n) for n in range(1, LIMIT + 1)}
    if padding.policy == "max":
        assert widths == {LIMIT}
    if padding.policy == "buckets" and padding.bucket_tokens is None:
        assert widths == {16, 32, 64}
    if padding.policy in ("buckets", "sorted") and padding.bucket_tokens is not None:
        assert len(widths) == -(-LIMIT // padding.bucket_tokens)


def batch(lengths, width):
    mask = np.array([[1] * n + [0] * (width - n) for n in lengths], np.int64)
    return {"input_ids": mask * 9, "attention_mask": mask}


@pytest.mark.parametrize(
    ("batches", "asked", "told"),
    [
        ([batch([3, 5], 5), batch([9, 2], 9)], None, "longest"),
        ([batch([3, 5], 5), batch([9, 2], 9)], "sorted", "longest"),  # 2..9 reaches into 3..5
        ([batch([5, 3], 5), batch([9, 6], 9)], "sorted", "sorted"),
        ([batch([3, 5], 16), batch([20, 2], 32)], None, "buckets"),
        ([batch([3, 5], 16), batch([20, 2], 32)], "max", "buckets"),
        ([batch([3, 5], 64), batch([20, 2], 64)], "buckets", "max"),
        ([batch([3, 5], 7)], "longest", None),
    ],
)
def test_the_batches_tell_the_policy(batches, asked, told):
    knobs = {PADDING.name: asked} if asked else {}
    assert read_back(batches, knobs, 64) == {PADDING.name: told}


def test_buckets_of_another_size_are_not_proven():
    fed = [batch([3, 5], 24), batch([20, 30], 48)]
    right = {PADDING.name: "buckets", BUCKET_TOKENS.name: 24}
    assert read_back(fed, right, 64) == right
    assert read_back(fed, right | {BUCKET_TOKENS.name: 32}, 64) == {
        PADDING.name: None,
        BUCKET_TOKENS.name: None,
    }


def at(folder):
    return locate(ModelRequest(str(folder)))


def sequences(made):
    """Every sequence without its padding, whatever its batch."""
    return [
        row[: int(mask.sum())].tolist()
        for b in made.batches
        for row, mask in zip(b["input_ids"], b["attention_mask"], strict=True)
    ]


class TestDrawn:
    def make(self, folder, **knobs):
        case = Case(
            model="m", lengths="uniform(2,40)", sequence_length=64, batch_size=8, knobs=knobs
        )
        return make_inputs.random_ids(case, at(folder), 4)

    def test_every_policy_feeds_the_same_sequences(self, hand_made):
        folder = hand_made()
        made = {p: self.make(folder, padding=p) for p in POLICIES}
        plain = self.make(folder)
        assert sequences(plain) == sequences(made["longest"]) == sequences(made["max"])
        assert sequences(made["buckets"]) == sequences(plain)
        assert sorted(sequences(made["sorted"])) == sorted(sequences(plain))
        assert sequences(made["sorted"]) != sequences(plain)
        assert [sequences(made["sorted"])[i] for i in np.argsort(made["sorted"].order)] == (
            sequences(plain)
        )

    def test_padding_is_the_padding_id_and_masked(self, hand_made):
        made = self.make(hand_made(pad_token_id=7), padding="max")
        for b in made.batches:
            assert b["input_ids"].shape == b["token_type_ids"].shape == (8, 64)
            assert (b["input_ids"][b["attention_mask"] == 0] == 7).all()
            assert (b["input_ids"][b["attention_mask"] == 1] != 7).all()
            assert not b["token_type_ids"].any()

    def test_the_seed_decides(self, hand_made):
        checkpoint = at(hand_made())
        one, same, other = (
            drawn_inputs(checkpoint, [3, 9, 4, 4], 2, Padding(seed=s), "x") for s in (1, 1, 2)
        )
        assert sequences(one) == sequences(same) != sequences(other)
        assert one.lengths == other.lengths == (3, 9, 4, 4)

    @given(policies, lengths, st.integers(1, 9))
    def test_padding_share_is_the_masked_share(self, padding, lengths, batch_size):
        batches = [
            batch([lengths[r] for r in g.rows], g.width)
            for g in padding.groups(lengths, batch_size)
        ]
        fed = np.concatenate([b["attention_mask"].ravel() for b in batches])
        facts = InputSet(tuple(batches), tuple(lengths), "x").facts()
        assert facts.padding_share == pytest.approx(1 - fed.mean())
        assert sum(facts.length_histogram.values()) == len(lengths)

    def test_the_source_says_when_sequences_are_cut(self, hand_made, tmp_path):
        folder = hand_made()
        assert self.make(folder).source == "random ids, lengths uniform(2,40)"
        (tmp_path / "h.json").write_text('{"3": 1, "60": 1}')
        case = Case(model="m", lengths=str(tmp_path / "h.json"), sequence_length=20)
        made = make_inputs.random_ids(case, at(folder), 4)
        assert made.source == "random ids, lengths h.json, cut at 20"
        assert made.facts().length_histogram == {"3": 32, "20": 32}

    def test_without_lengths_nothing_has_changed(self, hand_made):
        case = Case(model="m", batch_size=2, sequence_length=8)
        made = make_inputs.random_ids(case, at(hand_made()), 4)
        assert made.lengths == (8,) * 8
        assert not made.varied
        assert make_inputs.about(case) == {}
        assert make_inputs.about(case.replace(knobs={"padding": "max"})) == {
            "padding": "max",
            "seed": 0,
        }

    def test_a_changed_histogram_is_another_input(self, tmp_path):
        file = tmp_path / "h.json"
        case = Case(model="m", lengths=str(file))
        file.write_text('{"3": 1}')
        before = make_inputs.about(case)
        file.write_text('{"3": 2, "4": 1}')
        assert make_inputs.about(case) != before


class TestCalibration:
    @pytest.mark.parametrize("lengths", [None, "uniform(4,40)"])
    def test_other_sequences_of_the_same_lengths(self, hand_made, lengths):
        checkpoint = at(hand_made())
        case = Case(model="m", lengths=lengths, sequence_length=40, batch_size=4)
        shown = make_inputs.calibration(case, checkpoint, 16)
        assert len(shown.batches) == 16
        assert all(len(b["input_ids"]) == 1 for b in shown.batches)
        fed = sequences(make_inputs.random_ids(case, checkpoint, 8))
        assert not [s for s in sequences(shown) if len(s) > 4 and s in fed]
        assert max(shown.lengths) <= 40
        assert np.mean(shown.lengths) == pytest.approx(22 if lengths else 40, abs=1)
        same = make_inputs.calibration(case.replace(batch_size=1), checkpoint, 16)
        assert sequences(same) == sequences(shown)


@pytest.mark.engine
class TestTexts:
    TEXTS = ("the cat", "the cat sat on the mat", "a dog", "a cat sat on a mat", "mat")

    def make(self, folder, **knobs):
        case = Case(model="m", inputs="t.txt", sequence_length=32, batch_size=2, knobs=knobs)
        return make_inputs.from_texts(case, at(folder), self.TEXTS)

    def test_sorted_texts_waste_less_and_tell_where_they_came_from(self, hand_made, vocabulary):
        folder = vocabulary(hand_made())
        plain, ordered = self.make(folder), self.make(folder, padding="sorted")
        assert plain.order == (0, 1, 2, 3, 4, 5)  # the last is the first again, to fill up
        assert sorted(ordered.order) == [0, 1, 2, 3, 4, 5]
        assert ordered.facts().padding_share < plain.facts().padding_share
        for place, text in enumerate(ordered.order):
            assert sequences(ordered)[place] == sequences(plain)[text]


@given(policies, lengths, st.integers(1, 9), st.integers(0, 20))
def test_the_same_sequences_are_judged_whatever_the_policy(padding, lengths, batch_size, rows):
    lengths = lengths * batch_size
    groups = padding.groups(lengths, batch_size)
    order = tuple(row for g in groups for row in g.rows)
    batches = tuple(batch([lengths[r] for r in g.rows], g.width) for g in groups)
    made = InputSet(batches, tuple(lengths[r] for r in order), "x", order)
    head = made.head(rows)
    assert sorted(head.order) == list(range(min(rows, len(lengths))))
    assert head.lengths == tuple(lengths[place] for place in head.order)
    assert [len(s) for s in sequences(head)] == list(head.lengths)
    whole = [made.batches[i]["input_ids"][own] for i, own in made.first(rows).items()]
    for part, cut in zip(whole, head.batches, strict=True):
        np.testing.assert_array_equal(part, cut["input_ids"])
    assert list(head.first(rows).values()) == [list(range(len(b))) for b in whole]
