"""Lengths that are drawn: inside their bounds, as often as asked, the same for the same seed."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.errors import UsageError
from honed.models.draw_lengths import batches_for, drawn, longest
from honed.models.histogram import quantiles, read_histogram

counts = st.integers(1, 400)
seeds = st.integers(0, 2**31)


@given(st.integers(1, 600), st.integers(0, 600), counts, st.integers(1, 800), seeds)
def test_uniform_lengths_stay_inside_and_cover(low, more, count, cut, seed):
    high = low + more
    found = drawn(f"uniform({low},{high})", count, cut, seed)
    assert len(found) == count
    assert all(min(low, cut) <= n <= min(high, cut) for n in found)
    if cut >= high:
        assert np.mean(found) == pytest.approx((low + high) / 2, abs=1)
        each = Counter(found)
        share = count / (more + 1)
        assert all(abs(each[n] - share) <= 1 for n in range(low, high + 1))


@given(st.integers(1, 300), seeds)
def test_another_seed_gives_the_same_lengths_in_another_order(count, seed):
    one, same, other = (drawn("lognormal(60,40)", count, 512, s) for s in (seed, seed, seed + 1))
    assert one == same
    assert sorted(one) == sorted(other)
    if count > 20:
        assert one != other


@pytest.mark.parametrize("text", ["normal(120,40)", "lognormal(120,80)"])
def test_mean_and_spread_are_those_asked_for(text):
    found = np.array(drawn(text, 4096, 10**6, 0))
    assert found.mean() == pytest.approx(120, rel=0.01)
    assert found.std() == pytest.approx(40 if text.startswith("normal") else 80, rel=0.05)
    assert found.min() >= 1


def test_wild_spreads_are_cut_not_overflowed():
    assert max(drawn("lognormal(100,1e9)", 256, 512, 0)) <= 512
    assert max(drawn("lognormal(100,1e300)", 256, 512, 0)) <= 512


@pytest.mark.parametrize("text", ["normal(1e20,1)", "lognormal(1e300,1)"])
def test_lengths_beyond_every_integer_are_cut_at_the_longest(text):
    assert set(drawn(text, 16, 512, 0)) == {512}


def test_a_span_beyond_every_integer_is_cut_at_the_longest():
    assert min(drawn("1..100000000000000000000", 16, 512, 0)) == 512


@given(
    st.dictionaries(st.integers(1, 512), st.integers(0, 50), min_size=1, max_size=40),
    counts,
    seeds,
)
def test_a_histogram_is_respected(weights, count, seed):
    total = sum(weights.values())
    if not total:
        return
    shares = (np.arange(count) + 0.5) / count
    found = Counter(quantiles({k: v for k, v in weights.items() if v}, shares).tolist())
    for length, weight in weights.items():
        assert abs(found[length] - count * weight / total) <= 1
    assert sum(found[n] for n in weights) == count


@pytest.mark.parametrize("batch_size", [1, 2, 7, 8, 32, 64, 256])
def test_batches_are_enough_and_not_too_many(batch_size):
    batches = batches_for(batch_size)
    assert 8 <= batches <= 64
    assert batches * batch_size >= 64


def test_the_mean_of_the_widest_hardly_depends_on_the_seed():
    for batch_size in (2, 8, 32):
        batches = batches_for(batch_size)
        means = [
            np.reshape(drawn("8..512", batches * batch_size, 512, seed), (batches, -1))
            .max(axis=1)
            .mean()
            for seed in range(60)
        ]
        assert np.std(means) / np.mean(means) < 0.03


def test_the_longest_is_known_or_not(tmp_path):
    file = tmp_path / "h.json"
    file.write_text('{"3": 1, "90": 2}')
    assert longest("uniform(8,300)") == 300
    assert longest(str(file)) == 90
    assert longest("normal(100,20)") is None


PLAIN = {"8": 2, "32": 6}


class TestHistogramFiles:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("h.json", json.dumps(PLAIN)),
            ("h.json", json.dumps({"source": "texts", "length_histogram": PLAIN})),
            ("h.json", json.dumps({"id": "x", "inputs": {"length_histogram": PLAIN}})),
            ("h.jsonl", json.dumps({"inputs": {"length_histogram": PLAIN}}) + "\n"),
            ("h.jsonl", 2 * (json.dumps({"inputs": {"length_histogram": PLAIN}}) + "\n\n")),
            ("h.csv", "length,count\n8,2\n\n32,6\n"),
            ("h.CSV", "\ufeff8, 2\r\n32 ,6.0\r\n"),
        ],
    )
    def test_every_kind_reads_the_same(self, tmp_path, name, content):
        path = tmp_path / name
        path.write_text(content)
        assert read_histogram(path) == {8: 2, 32: 6}

    def test_the_buckets_of_a_record_are_spread_over_their_lengths(self, tmp_path):
        path = tmp_path / "h.json"
        path.write_text('{"1": 1, "3-4": 4, "4": 1, "9-12": 0}')
        assert read_histogram(path) == {1: 1, 3: 2, 4: 3}

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("h.json", "{", "not valid JSON"),
            ("h.json", "[1, 2]", "no histogram"),
            ("h.json", "{}", "no histogram"),
            ("h.json", '{"inputs": null}', "no histogram"),
            ("h.json", '{"8": 0}', "counts no sequence"),
            ("h.json", '{"eight": 1}', "eight: 1"),
            ("h.json", '{"0": 1}', "0: 1"),
            ("h.json", '{"9-8": 1}', "9-8"),
            ("h.json", '{"8": -1}', "8: -1"),
            ("h.json", '{"8": true}', "8: True"),
            ("h.json", '{"8": [1]}', "8: [1]"),
            ("h.json", '{"8": Infinity}', "8: inf"),
            ("h.json", '{"99999999999": 1}', "99999999999"),
            ("h.jsonl", "\n", "empty"),
            ("h.jsonl", '{"8": 1}\n{"8"', "line 2: not valid JSON"),
            ("h.jsonl", '{"8": 1}\n{"9": 1}', "different inputs"),
            ("h.csv", "8,1\n9", "line 2"),
            ("h.csv", "8,1\n8,2", "line 2: 8 again"),
            ("h.csv", "8,many", "8: many"),
        ],
    )
    def test_faults_say_what_and_where(self, tmp_path, name, content, said):
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(UsageError) as refused:
            read_histogram(path)
        assert said in refused.value.message
        assert refused.value.hint

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(UsageError, match="No such file"):
            read_histogram(tmp_path / "none.json")

    def test_not_text(self, tmp_path):
        path = tmp_path / "h.json"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UsageError, match="UTF-8"):
            read_histogram(path)
