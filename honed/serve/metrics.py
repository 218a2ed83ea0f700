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
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

# The buckets of text-embeddings-inference: 15 us to 15 s, and powers of two.
_SECONDS = tuple(1e-5 * 1.5**k for k in range(1, 36))
_COUNTS = tuple(float(2**k) for k in range(15))
ROUTES = ("embed", "embed_all", "predict", "rerank", "similarity", "openai", "infer")
_REASONS = ("overloaded", "not_ready", "deadline", "too_large", "poison", "not_finite",
            "inference", "validation", "empty", "tokenizer", "unauthorized")  # fmt: skip
# The names of failures in text-embeddings-inference.
_TE_FAILURES = {
    "too_large": "batch_size", "validation": "validation", "empty": "validation",
    "backend": "model_type", "overloaded": "overloaded", "tokenizer": "tokenization",
    "inference": "inference", "poison": "inference", "not_finite": "inference",
    "deadline": "dropped", "disconnected": "dropped",
}  # fmt: skip
disable_created_metrics()  # type: ignore[no-untyped-call]  # the time of a start is not what a series of counts is for
_TE_COUNTS = ("te_request", "te_embed", "te_predict")


@dataclass(frozen=True, slots=True)
class Times:
    """The seconds of one answered request; tokenising, queue and inference are means over its
    texts."""

    total_s: float
    tokenize_s: float
    queue_s: float
    infer_s: float


class Metrics:
    """The registry of one server."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def histogram(
            name: str, help: str, labels: Sequence[str] = (), *, counts: bool = False
        ) -> Histogram:
            buckets = _COUNTS if counts else _SECONDS
            return Histogram(name, help, labels, registry=registry, buckets=buckets)

        route = ("route",)
        self._requests = Counter("honed_requests", "answered requests", route, registry=registry)
        self._refused = Counter("honed_admission_rejected", "requests without an answer",
                                ("reason",), registry=registry)  # fmt: skip
        self._texts = Counter("honed_texts", "answered texts", registry=registry)
        self._parts = {
            name: histogram(f"honed_{name}_seconds", help, route)
            for name, help in (
                ("request", "from the request to its answer"),
                ("tokenize", "tokenising"),
                ("queue", "waiting for a worker"),
                ("infer", "computing in a worker"),
            )
        }
        self._useful = Counter("honed_batch_useful_tokens", "tokens computed", registry=registry)
        self._padded = Counter("honed_batch_padded_tokens", "padding computed", registry=registry)
        self._rows = histogram("honed_batch_texts", "texts of a batch", counts=True)
        self._queued = Gauge("honed_queue_texts", "texts that wait", registry=registry)
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
        self._te = _TeiCounts()
        registry.register(self._te)
        self._te_parts = {
            f"{kind}{part}_duration": histogram(f"{kind}{part}_duration", "seconds")
            for kind in _TE_COUNTS
            for part in ("", "_tokenization", "_queue", "_inference")
        }
        self._te_length = histogram("te_request_input_length", "tokens of a text", counts=True)
        self._te_size = histogram("te_batch_next_size", "texts of a batch", counts=True)
        self._te_tokens = histogram("te_batch_next_tokens", "tokens of a batch", counts=True)
        self._te_queue = Gauge("te_queue_size", "texts that wait", registry=registry)
        for name in ROUTES:
            self._requests.labels(name)
            for part in self._parts.values():
                part.labels(name)
        for reason in _REASONS:
            self._refused.labels(reason)

    def text(self) -> bytes:
        """All series in the format of Prometheus."""
        return generate_latest(self._registry)

    def watch_wait(self, wait_s: Callable[[], float]) -> None:
        """Ask for the predicted wait whenever the metrics are read."""
        self._wait.set_function(wait_s)

    def began(self, route: str, *, single: bool) -> None:
        self._te.add("te_request_count", {"method": "single" if single else "batch"})
        if kind := _te_kind(route):
            self._te.add(f"{kind}_count")

    def answered(self, route: str, times: Times, lengths: Sequence[int], *, single: bool) -> None:
        self._requests.labels(route).inc()
        self._texts.inc(len(lengths))
        seconds = (times.total_s, times.tokenize_s, times.queue_s, times.infer_s)
        for part, value in zip(self._parts.values(), seconds, strict=True):
            part.labels(route).observe(value)
        kinds = ["te_request", *filter(None, [_te_kind(route)])]
        for kind in kinds:
            for part_name, value in zip(
                ("", "_tokenization", "_queue", "_inference"), seconds, strict=True
            ):
                self._te_parts[f"{kind}{part_name}_duration"].observe(value)
        for length in lengths:
            self._te_length.observe(length)
        self._te.add("te_request_success", {"method": "single" if single else "batch"})
        if kind_of_route := _te_kind(route):
            self._te.add(f"{kind_of_route}_success")

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()
        if failure := _TE_FAILURES.get(reason):
            self._te.add("te_request_failure", {"err": failure})

    def batch(self, lengths: Sequence[int], width: int) -> None:
        useful = sum(lengths)
        self._useful.inc(useful)
        self._padded.inc(max(0, width * len(lengths) - useful))
        self._rows.observe(len(lengths))
        self._te_size.observe(len(lengths))
        self._te_tokens.observe(useful)

    def queue_size(self, texts: int) -> None:
        self._queued.set(texts)
        self._te_queue.set(texts)

    def predicted(self, actual_over_predicted: float) -> None:
        self._ratio.set(1 / actual_over_predicted)

    def worker(self, index: int, *, ready: bool) -> None:
        self._workers.labels(str(index)).set(int(ready))

    def restarted(self) -> None:
        self._restarts.inc()

    def lag(self, seconds: float) -> None:
        self._lag.set(seconds)


def _te_kind(route: str) -> str:
    """The group of a route in text-embeddings-inference's metrics; empty without one."""
    if route in ("predict", "rerank"):
        return "te_predict"
    return "te_embed" if route in ("embed", "embed_all", "openai", "similarity") else ""


class _TeiCounts(Collector):
    """Counters without the suffix `_total`, which prometheus_client would add."""

    def __init__(self) -> None:
        single_and_batch = ({"method": "single"}, {"method": "batch"})
        failures = tuple({"err": name} for name in dict.fromkeys(_TE_FAILURES.values()))
        labels: dict[str, tuple[dict[str, str], ...]] = {
            "te_request_count": single_and_batch,
            "te_request_success": single_and_batch,
            "te_request_failure": failures,
            **{f"te_{kind}_{what}": ({},) for kind in ("embed", "predict")
               for what in ("count", "success")},
        }  # fmt: skip
        self._values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {
            name: {tuple(each.items()): 0.0 for each in sets} for name, sets in labels.items()
        }

    def add(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        key = tuple((labels or {}).items())
        self._values[name][key] = self._values[name].get(key, 0.0) + 1

    def collect(self) -> Iterator[Metric]:
        for name, by_labels in self._values.items():
            metric = Metric(name, "as text-embeddings-inference counts", "unknown")
            for labels, value in by_labels.items():
                metric.add_sample(name, dict(labels), value)
            yield metric
