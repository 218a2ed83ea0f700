"""Histograms, and the series that are made of them."""

from __future__ import annotations

import numpy as np
import pytest

from honed.serve.histogram import COUNTS, SECONDS, Histogram, merged
from honed.serve.metrics import Metrics, Times


def test_buckets_are_counted_as_prometheus_counts_them() -> None:
    import prometheus_client

    registry = prometheus_client.CollectorRegistry()
    theirs = prometheus_client.Histogram("x", "x", registry=registry, buckets=COUNTS)
    ours = Histogram(COUNTS)
    for value in [*np.random.default_rng(0).integers(0, 40_000, 200), 1, 2, 16384, 16385]:
        theirs.observe(float(value))
        ours.add(float(value))
    (metric,) = registry.collect()
    wanted = {s.labels["le"]: s.value for s in metric.samples if s.name == "x_bucket"}
    assert dict(ours.cumulated()) == wanted
    assert ours.total == next(s.value for s in metric.samples if s.name == "x_sum")


def test_histograms_add_up() -> None:
    one, other = Histogram(SECONDS), Histogram(SECONDS)
    one.add(0.001)
    other.add(2.0)
    other.add(100.0)
    whole = merged([one, other], SECONDS)
    assert whole.count == 3
    assert whole.total == pytest.approx(102.001)


def test_every_route_counts_for_its_group() -> None:
    metrics = Metrics()
    times = Times(0.5, 0.001, 0.2, 0.1, predicted_s=0.1)
    for route, single in (("embed", True), ("openai", False), ("rerank", True), ("infer", True)):
        metrics.began(route, single=single)
        metrics.answered(route, times, [5, 7], single=single)
    metrics.refused("overloaded")
    series = dict(line.rsplit(" ", 1) for line in metrics.text().decode().splitlines()
                  if not line.startswith("#"))  # fmt: skip
    assert series["te_request_duration_count"] == "4.0"
    assert series["te_embed_duration_count"] == "2.0"
    assert series["te_predict_success"] == "1.0"
    assert series['te_request_count{method="single"}'] == "3.0"
    assert series['te_request_success{method="batch"}'] == "1.0"
    assert series['te_request_failure{err="overloaded"}'] == "1.0"
    assert series['honed_requests_total{route="openai"}'] == "1.0"
    assert series['honed_queue_seconds_sum{route="embed"}'] == "0.2"
    assert series["honed_texts_total"] == "8.0"
    assert series['honed_wait_actual_over_predicted_bucket{le="1.8"}'] == "0.0"
    assert series['honed_wait_actual_over_predicted_bucket{le="2.5"}'] == "4.0"
