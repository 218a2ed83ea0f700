"""Traces: what OpenTelemetry gets for a request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import InProcess
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from honed.serve.app import App
from honed.serve.traces import Traces

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def application(model: Path) -> Iterator[InProcess]:
    made = InProcess(model)
    yield made
    made.close()


def test_a_request_is_a_span_with_its_parts(application: InProcess) -> None:
    exporter = InMemorySpanExporter()
    traces = Traces(exporter)
    application.app = App(application.service, traces=traces)
    body = b'{"inputs": ["the cat", "a"]}'
    assert application.ask("/embed", body, {"traceparent": CALLER}).status == 200
    assert application.ask("/embed", b'{"inputs": 3}').status == 422
    traces.close()
    spans = {span.name + str(i): span for i, span in enumerate(exporter.get_finished_spans())}
    assert [name[:-1] for name in spans] == [
        "tokenize", "queue", "infer", "POST /embed", "POST /embed"
    ]  # fmt: skip
    *parts, whole, refused = spans.values()
    assert f"{whole.context.trace_id:032x}" in CALLER
    assert f"{whole.parent.span_id:016x}" in CALLER
    assert whole.attributes == {
        "http.response.status_code": 200, "honed.texts": 2, "honed.tokens": 7,
    }  # fmt: skip
    for part in parts:
        assert part.parent.span_id == whole.context.span_id
        assert whole.start_time <= part.start_time <= part.end_time <= whole.end_time
    assert refused.attributes == {"http.response.status_code": 422}
    assert refused.parent is None
