"""Traces for OpenTelemetry: one span for each request, with a child for each part of its time.

The variables of OpenTelemetry itself (OTEL_EXPORTER_OTLP_ENDPOINT and others) say where they go.
The spans are made when a request has been answered, from times that are taken anyway.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from honed.errors import NotInstalledError
from honed.serve.service import Outcome

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_FAULT = 500  # statuses from here on are errors of the server


class Traces:
    """Sends spans in a thread of its own. Raises NotInstalledError where the extra is missing."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind, Status, StatusCode
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise NotInstalledError(
                f"{error.name} is not installed, which traces=on needs",
                "pip install 'honed[traces]'",
            ) from None
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before this name.
        resource = Resource({"service.name": "honed"}).merge(Resource.create())
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("honed.serve")
        self._context_of = TraceContextTextMapPropagator().extract
        self._server, self._fault = SpanKind.SERVER, Status(StatusCode.ERROR)

    def add(
        self, name: str, headers: Mapping[str, str], status: int, took_s: float,
        outcome: Outcome | None,
    ) -> None:  # fmt: skip
        """One request that has just been answered. `headers` may name the caller's trace."""
        end_ns = time.time_ns()
        begin_ns = end_ns - int(took_s * 1e9)
        facts: dict[str, Any] = {"http.response.status_code": status}
        if outcome is not None:
            facts |= {"honed.texts": len(outcome.lengths), "honed.tokens": outcome.tokens}
        span = self._tracer.start_span(name, self._context_of(headers), self._server, facts,
                                       start_time=begin_ns)  # fmt: skip
        if status >= _FAULT:
            span.set_status(self._fault)
        if outcome is not None:
            self._add_parts(span, outcome, end_ns)
        span.end(end_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _add_parts(self, span: Any, outcome: Outcome, end_ns: int) -> None:
        """The parts one after the other; of a request of several texts, their means."""
        from opentelemetry.trace import set_span_in_context

        times, context = outcome.times, set_span_in_context(span)
        at_ns = end_ns - int(1e9 * (times.tokenize_s + times.queue_s + times.infer_s))
        for name, seconds in (("tokenize", times.tokenize_s), ("queue", times.queue_s),
                              ("infer", times.infer_s)):  # fmt: skip
            part = self._tracer.start_span(name, context, start_time=at_ns)
            at_ns += int(1e9 * seconds)
            part.end(at_ns)
