"""What a server counts: `honed_*` with units, and `te_*` under the names of
text-embeddings-inference, whose dashboards then work. Every series exists from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from honed.serve.histogram import COUNTS, RATIOS, SECONDS, Histogram, merged
from honed.serve.refusals import REASONS

ROUTES = ("embed", "embed_all", "predict", "rerank", "similarity", "openai", "infer")
# The names of failures in text-embeddings-inference.
_TE_FAILURES = {
    "too_large": "batch_size", "validation": "validation", "empty": "validation",
    "backend": "model_type", "overloaded": "overloaded", "tokenizer": "tokenization",
    "inference": "inference", "poison": "inference", "not_finite": "inference",
    "deadline": "dropped", "disconnected": "dropped",
}  # fmt: skip
# The parts of an answered request: honed's name, that of text-embeddings-inference, what it is.
_PARTS = (
    ("request", "", "from the request to its answer"),
    ("tokenize", "_tokenization", "tokenising"),
    ("queue", "_queue", "waiting for a worker"),
    ("infer", "_inference", "computing in a worker"),
)
_LEAST_WAIT_S = 0.001  # shorter predictions are not compared with what came of them
# Else each counter has a second series with the time at which it was made.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Times:
    """The seconds of one answered request; tokenising, queue and inference are means over its
    texts. `predicted_s` is how long admission thought that it would wait."""

    total_s: float
    tokenize_s: float
    queue_s: float
    infer_s: float
    predicted_s: float = 0.0


class _Route:
    """The answered requests of one route."""

    __slots__ = ("parts", "several", "single")

    def __init__(self) -> None:
        self.parts = tuple(Histogram(SECONDS) for _ in _PARTS)
        self.single = self.several = 0


class Metrics:
    """The registry of one server. It is used on the event loop alone."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.routes = {name: _Route() for name in ROUTES}
        self.began_by_kind = {"single": 0, "batch": 0}
        self.began_by_group = {"te_embed": 0, "te_predict": 0}
        self.texts = self.useful_tokens = self.padded_tokens = 0
        self.lengths, self.batch_texts, self.batch_tokens = (Histogram(COUNTS) for _ in range(3))
        self.waits = Histogram(RATIOS)
        self.failures: dict[str, int] = dict.fromkeys(_TE_FAILURES.values(), 0)
        self.queued = 0
        registry.register(_Collected(self))
        self._refused = Counter("honed_admission_rejected", "requests without an answer",
                                ("reason",), registry=registry)  # fmt: skip
        self._ratio = Gauge("honed_predicted_over_actual", "predicted over actual seconds of "
                            "batches, smoothed", registry=registry)  # fmt: skip
        self._ratio.set(1)
        self._workers = Gauge("honed_worker_state", "1 where a worker is ready", ("worker",),
                              registry=registry)  # fmt: skip
        self._restarts = Counter("honed_worker_restarts", "workers that were started again",
                                 registry=registry)  # fmt: skip
        self._lag = Gauge("honed_event_loop_lag_seconds", "how late the event loop woke last",
                          registry=registry)  # fmt: skip
        self._wait = Gauge("honed_predicted_wait_seconds", "the predicted wait of a new text",
                           registry=registry)  # fmt: skip
        for reason in REASONS:
            self._refused.labels(reason)

    def text(self) -> bytes:
        """All series in the format of Prometheus."""
        return generate_latest(self._registry)

    def watch_wait(self, wait_s: Callable[[], float]) -> None:
        """Ask for the predicted wait whenever the metrics are read."""
        self._wait.set_function(wait_s)

    def watch_ratio(self, ratio: Callable[[], float]) -> None:
        """Ask for the ratio of actual to predicted seconds whenever the metrics are read."""
        self._ratio.set_function(lambda: 1 / ratio())

    def began(self, route: str, *, single: bool) -> None:
        self.began_by_kind["single" if single else "batch"] += 1
        if group := te_group(route):
            self.began_by_group[group] += 1

    def answered(self, route: str, times: Times, lengths: Sequence[int], *, single: bool) -> None:
        kept = self.routes[route]
        total, tokenize, queue, infer = kept.parts
        total.add(times.total_s)
        tokenize.add(times.tokenize_s)
        queue.add(times.queue_s)
        infer.add(times.infer_s)
        if single:
            kept.single += 1
        else:
            kept.several += 1
        self.texts += len(lengths)
        for length in lengths:
            self.lengths.add(length)
        if times.predicted_s > _LEAST_WAIT_S:
            self.waits.add(times.queue_s / times.predicted_s)

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()
        if failure := _TE_FAILURES.get(reason):
            self.failures[failure] += 1

    def batch(self, lengths: Sequence[int], width: int) -> None:
        useful = sum(lengths)
        self.useful_tokens += useful
        self.padded_tokens += max(0, width * len(lengths) - useful)
        self.batch_texts.add(len(lengths))
        self.batch_tokens.add(useful)

    def queue_size(self, texts: int) -> None:
        self.queued = texts

    def worker(self, index: int, *, ready: bool) -> None:
        self._workers.labels(str(index)).set(int(ready))

    def restarted(self) -> None:
        self._restarts.inc()

    def lag(self, seconds: float) -> None:
        self._lag.set(seconds)


def te_group(route: str) -> str:
    """The group of a route in text-embeddings-inference's metrics; empty without one."""
    if route in ("predict", "rerank"):
        return "te_predict"
    return "te_embed" if route in ("embed", "embed_all", "openai", "similarity") else ""


class _Collected(Collector):
    """The plain numbers of Metrics as series. It can name counters without the suffix `_total`,
    which text-embeddings-inference has not and prometheus_client would add."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        metrics, routes = self._metrics, self._metrics.routes
        answered = CounterMetricFamily("honed_requests", "answered requests", labels=["route"])
        for name, route in routes.items():
            answered.add_metric([name], route.single + route.several)
        yield answered
        for place, (part, _, help) in enumerate(_PARTS):
            family = HistogramMetricFamily(f"honed_{part}_seconds", help, labels=["route"])
            for name, route in routes.items():
                part_s = route.parts[place]
                family.add_metric([name], part_s.cumulated(), part_s.total)
            yield family
        yield CounterMetricFamily("honed_texts", "answered texts", metrics.texts)
        yield CounterMetricFamily("honed_batch_useful_tokens", "tokens computed",
                                  metrics.useful_tokens)  # fmt: skip
        yield CounterMetricFamily("honed_batch_padded_tokens", "padding computed",
                                  metrics.padded_tokens)  # fmt: skip
        yield _histogram("honed_batch_texts", "texts of a batch", metrics.batch_texts)
        yield _histogram("honed_wait_actual_over_predicted", "how long requests waited, over how "
                         "long admission thought that they would", metrics.waits)  # fmt: skip
        yield _gauge("honed_queue_texts", "texts that wait", metrics.queued)
        yield from self._te()

    def _te(self) -> Iterator[Metric]:
        """The same numbers under the names of text-embeddings-inference."""
        metrics, routes = self._metrics, self._metrics.routes
        single = sum(route.single for route in routes.values())
        several = sum(route.several for route in routes.values())
        yield _te_counter("te_request_count", "method", metrics.began_by_kind)
        yield _te_counter("te_request_success", "method", {"single": single, "batch": several})
        yield _te_counter("te_request_failure", "err", metrics.failures)
        groups = {"te_request": list(routes.values())}
        for group in metrics.began_by_group:
            groups[group] = [each for name, each in routes.items() if te_group(name) == group]
            done = sum(each.single + each.several for each in groups[group])
            yield _te_counter(f"{group}_count", "", {"": metrics.began_by_group[group]})
            yield _te_counter(f"{group}_success", "", {"": done})
        for group, members in groups.items():
            for place, (_, part, _) in enumerate(_PARTS):
                whole = merged((each.parts[place] for each in members), SECONDS)
                yield _histogram(f"{group}{part}_duration", "seconds", whole)
        yield _histogram("te_request_input_length", "tokens of a text", metrics.lengths)
        yield _histogram("te_batch_next_size", "texts of a batch", metrics.batch_texts)
        yield _histogram("te_batch_next_tokens", "tokens of a batch", metrics.batch_tokens)
        yield _gauge("te_queue_size", "texts that wait", metrics.queued)


def _histogram(name: str, help: str, counted: Histogram) -> Metric:
    return HistogramMetricFamily(name, help, counted.cumulated(), counted.total)


def _gauge(name: str, help: str, value: float) -> Metric:
    metric = Metric(name, help, "gauge")
    metric.add_sample(name, {}, value)
    return metric


def _te_counter(name: str, label: str, values: Mapping[str, float]) -> Metric:
    metric = Metric(name, "as text-embeddings-inference counts", "unknown")
    for value, count in values.items():
        metric.add_sample(name, {label: value} if label else {}, count)
    return metric
