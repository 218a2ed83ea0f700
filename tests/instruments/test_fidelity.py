import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from honed.case import PRECISIONS
from honed.instruments.fidelity import TOLERANCES, DivergedError, compare, complaint, within


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_every_precision_has_a_tolerance():
    assert set(TOLERANCES) == set(PRECISIONS)
    ladder = [TOLERANCES[p] for p in ("fp32", "fp16", "bf16", "int8", "int4")]
    assert ladder == sorted(ladder, reverse=True)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_equal_outputs(rng, precision):
    out = {"embedding": rng.normal(size=(4, 32)).astype(np.float32)}
    found = compare(out, out, precision)
    assert found.cosine_min == pytest.approx(1)
    assert (found.max_abs_diff, found.relative_diff) == (0, 0)
    assert found.top1_agreement is None
    assert found.tolerance == TOLERANCES[precision]
    assert within(found)


@pytest.mark.parametrize(
    ("precision", "error", "good"),
    [
        ("fp32", 1e-4, True),
        ("fp32", 0.02, False),
        ("fp16", 0.003, True),
        ("fp16", 0.08, False),
        ("bf16", 0.03, True),
        ("bf16", 0.2, False),
        ("int8", 0.1, True),
        ("int8", 0.5, False),
        ("int4", 0.3, True),
        ("int4", 0.9, False),
    ],
)
def test_relative_errors_that_a_precision_allows(rng, precision, error, good):
    truth = rng.normal(size=(8, 384))
    got = truth + error * rng.normal(size=truth.shape)
    assert within(compare({"embedding": truth}, {"embedding": got}, precision)) is good


def test_real_bf16_rounding_is_within_and_fp32_would_notice(rng):
    truth = rng.normal(size=(8, 384)).astype(np.float32)
    rounded = (truth.view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert within(compare({"embedding": truth}, {"embedding": rounded}, "bf16"))


def test_the_worst_row_decides(rng):
    truth = rng.normal(size=(64, 384))
    got = truth.copy()
    got[17] = rng.normal(size=384)
    found = compare({"embedding": truth}, {"embedding": got}, "int8")
    assert found.cosine_min < 0.3
    assert not within(found)
    assert "cosine" in complaint(found)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_wrong_scale_is_seen_though_the_cosine_is_one(rng, factor):
    truth = rng.normal(size=(4, 384))
    found = compare({"embedding": truth}, {"embedding": factor * truth}, "bf16")
    assert found.cosine_min == pytest.approx(1)
    assert not within(found)
    assert "largest value" in complaint(found)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["reference", "outputs"])
def test_what_is_not_finite_is_diverged_and_strict_json(rng, bad, where):
    truth, got = rng.normal(size=(2, 3, 20)), rng.normal(size=(2, 3, 20))
    (truth if where == "reference" else got)[1, 2, 3] = bad
    found = compare({"logits": truth}, {"logits": got}, "fp32")
    json.dumps(dataclasses.asdict(found), allow_nan=False)
    assert found.max_abs_diff is found.relative_diff is None
    assert not within(found)
    assert "not finite" in complaint(found)


def test_zero_vectors(rng):
    zero, some = np.zeros((1, 32)), rng.normal(size=(1, 32))
    assert compare({"embedding": zero}, {"embedding": zero}, "fp32").cosine_min == 1
    assert within(compare({"embedding": zero}, {"embedding": zero}, "fp32"))
    assert compare({"embedding": some}, {"embedding": zero}, "fp32").cosine_min == 0
    lost = compare({"embedding": zero}, {"embedding": some}, "int4")
    assert lost.relative_diff is None
    assert not within(lost)


def test_shapes_that_differ():
    with pytest.raises(DivergedError, match=r"logits has shape \[2, 3\], the reference \[2, 5\]"):
        compare({"logits": np.ones((2, 5))}, {"logits": np.ones((2, 3))}, "fp32")
    assert DivergedError.status == "diverged"


def test_shapes_that_would_broadcast():
    with pytest.raises(DivergedError, match="has shape"):
        compare({"logits": np.ones((2, 5))}, {"logits": np.ones((1, 5))}, "fp32")


def test_an_output_that_is_missing():
    with pytest.raises(DivergedError, match="no output is called 'end_logits'") as caught:
        compare(
            {"start_logits": np.ones((1, 4)), "end_logits": np.ones((1, 4))},
            {"start_logits": np.ones((1, 4))},
            "fp32",
        )
    assert "start_logits" in caught.value.hint


def test_padding_is_left_out_of_tokens(rng):
    truth = rng.normal(size=(2, 4, 32))
    got = truth.copy()
    got[0, 2:] = 99.0
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]])
    assert within(compare({"logits": truth}, {"logits": got}, "fp32", mask=mask))
    assert not within(compare({"logits": truth}, {"logits": got}, "fp32"))


def test_nan_in_padding_does_not_matter(rng):
    truth = rng.normal(size=(1, 3, 32))
    got = truth.copy()
    got[0, 2] = np.nan
    found = compare({"last": truth}, {"last": got}, "fp32", mask=np.array([[1, 1, 0]]))
    assert within(found)


def test_padding_is_left_out_of_answer_spans():
    truth = {"start_logits": np.array([[3.0, 1.0, 0.0]]), "end_logits": np.array([[0.0, 2.0, 1]])}
    got = {"start_logits": np.array([[3.0, 1.0, 99]]), "end_logits": np.array([[0.0, 2.0, 50]])}
    found = compare(truth, got, "fp32", mask=np.array([[1, 1, 0]]))
    assert within(found)
    assert found.top1_agreement == 1


def test_an_embedding_as_wide_as_the_sequence_is_not_masked(rng):
    truth = rng.normal(size=(2, 4))
    got = truth.copy()
    got[:, 3] += 5
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 0]])
    assert not within(compare({"embedding": truth}, {"embedding": got}, "int4", mask=mask))


def test_top1_counts_sequences():
    truth = np.array([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    got = truth.copy()
    got[0] = [2.0, 1.9]
    assert compare({"logits": truth}, {"logits": got}, "fp32").top1_agreement == 0.75


def test_top1_counts_real_tokens(rng):
    truth = rng.normal(size=(2, 3, 40))
    got = truth.copy()
    got[0, 0, truth[0, 0].argmin()] = truth.max() + 1
    mask = np.array([[1, 1, 0], [1, 1, 0]])
    assert compare({"logits": truth}, {"logits": got}, "fp32", mask=mask).top1_agreement == 0.75


def test_answer_spans_agree_by_start_and_end():
    truth = {"start_logits": np.array([[3.0, 1.0]]), "end_logits": np.array([[0.0, 2.0]])}
    got = {"start_logits": np.array([[3.0, 1.0]]), "end_logits": np.array([[2.0, 0.0]])}
    assert compare(truth, got, "fp32").top1_agreement == 0.5


def test_two_labels_near_zero_are_judged_by_all_tokens_together(rng):
    truth = rng.normal(size=(1, 50, 3))
    truth[0, 7] = [1e-3, -1e-3, 0]
    got = truth + 5e-3 * rng.normal(size=truth.shape)
    assert within(compare({"logits": truth}, {"logits": got}, "fp16"))


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_one_score_per_sequence(rng, shape):
    truth = rng.normal(size=shape)
    found = compare({"logits": truth}, {"logits": truth + 1e-6}, "fp32")
    assert found.top1_agreement is None  # one label always wins
    assert within(found)
    assert not within(compare({"logits": truth}, {"logits": -truth}, "int4"))


def test_half_precision_arrays_do_not_overflow():
    truth = np.full((1, 400), 60000, dtype=np.float16)
    assert within(compare({"embedding": truth}, {"embedding": truth}, "fp16"))


def test_the_reference_is_named(rng):
    out = {"embedding": rng.normal(size=(1, 20))}
    assert compare(out, out, "fp32", against="fake fp32").reference == "fake fp32"


_VALUES = st.floats(-1e6, 1e6, width=32)


@given(st.data(), array_shapes(min_dims=1, max_dims=3, max_side=20))
@settings(max_examples=60, deadline=None)
def test_numbers_stay_within_their_bounds(data, shape):
    truth = data.draw(arrays(np.float32, shape, elements=_VALUES))
    got = data.draw(arrays(np.float32, shape, elements=_VALUES))
    found = compare({"logits": truth}, {"logits": got}, "int8")
    assert -1 <= found.cosine_min <= 1
    assert found.max_abs_diff is not None
    assert found.max_abs_diff >= 0
    assert found.top1_agreement is None or 0 <= found.top1_agreement <= 1
    assert bool(complaint(found)) is not within(found)
    json.dumps(dataclasses.asdict(found), allow_nan=False)
