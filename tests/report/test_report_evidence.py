import math
import statistics
from dataclasses import replace

import pytest
from records import make_record
from reports import cores, engines, record
from scipy import stats

from honed.report.evidence import Evidence, latency, pool


def labels(records, **how):
    evidence = Evidence(tuple(records))
    keys = evidence.varying(records, **how)
    return [label for label, _ in evidence.groups(records, keys)]


def test_what_varies_is_named_in_words():
    assert labels(engines((1,)))[:4] == [
        "torch fp32",
        "torch bf16",
        "torch int8",
        "onnxruntime fp32",
    ]
    assert labels(cores()) == [
        "1 core", "2 cores", "1 core, 2 instances", "4 cores", "1 core, 4 instances",
    ]  # fmt: skip
    knob = [make_record({}), make_record({"allocator": "jemalloc"}), make_record({"threads": 2})]
    assert labels(knob) == ["as it comes", "allocator jemalloc", "2 cores"]


def test_duration_and_seed_distinguish_no_settings():
    records = [make_record({"duration_s": d, "seed": s}, seed=s) for d, s in ((1.0, 1), (9.0, 2))]
    assert labels(records) == ["as it comes"]


def test_what_the_accuracy_is_judged_on_distinguishes_no_settings():
    judged = {"eval": "pairs.jsonl", "max_accuracy_drop": 0.01, "max_neighbour_drift": 0.001}
    assert labels([make_record(judged), make_record(seed=1)]) == ["as it comes"]


def test_subjects_are_models_and_machines():
    here = make_record({"model": "/data/one/model"})
    other = make_record({"model": "/data/two/model"}, seed=1)
    away = make_record({"model": "/data/two/model"}, seed=2, machine={"cpu": "Other CPU"})
    names = [name for name, _ in Evidence((here, other, away)).subjects()]
    assert names == [
        "one/model Example CPU @ 2.70GHz (8 CPUs)",
        "two/model Example CPU @ 2.70GHz (8 CPUs)",
        "two/model Other CPU",
    ]
    assert [name for name, _ in Evidence((here,)).subjects()] == [""]


def test_equal_folder_names_are_different_models():
    evidence = Evidence((make_record({"model": "a/x/bert"}), make_record({"model": "a/y/bert"})))
    assert list(evidence.model_names.values()) == ["x/bert", "y/bert"]


def test_a_point_of_one_record_has_the_interval_of_the_record():
    one = make_record(p50_s=0.05)
    point = pool([one], latency)
    assert point.value == one.metrics.latency_s.p50 * 1e3
    assert point.ends == tuple(end * 1e3 for end in one.metrics.latency_s.ci95)


def test_a_point_of_several_runs_has_the_interval_of_their_mean():
    """Wide intervals of single processes do not widen it, and each process counts once."""
    runs = [record({}, p50_s) for p50_s in (0.05, 0.06, 0.09)]
    latency_s = runs[0].metrics.latency_s
    wide = replace(runs[0].metrics, latency_s=replace(latency_s, ci95=(0.0, 9.0)))
    point = pool([replace(runs[0], metrics=wide), *runs[1:]], latency, x=8)
    logs = [math.log(r.metrics.latency_s.p50 * 1e3) for r in runs]
    assert point.value == pytest.approx(math.exp(statistics.mean(logs)))
    low, high = stats.t.interval(0.95, 2, statistics.mean(logs), stats.sem(logs))
    assert point.ends == pytest.approx((math.exp(low), math.exp(high)))
    assert [r.id for r in point.records] == [r.id for r in runs]


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        (["ok", "ok"], "ok"),
        (["ok", "unproven"], "unproven"),
        (["diverged", "unproven"], "diverged"),
    ],
)
def test_a_point_has_the_worst_status_of_its_runs(statuses, worst):
    runs = [make_record(status=s, seed=i) for i, s in enumerate(statuses)]
    assert pool(runs, latency).status == worst


def test_records_without_metrics_make_no_point():
    assert pool([make_record(metrics=None)], latency) is None
