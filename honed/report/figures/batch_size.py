"""Latency and throughput over the batch size."""

from __future__ import annotations

from collections.abc import Iterator

from honed.report.evidence import Evidence
from honed.report.figures import _along
from honed.report.figures.base import Picture

ORDER = 20
_ALONG = _along.Along("batch_size", "Batch size", "batch size", "batch size {}",
    "batch size, sequences per call",
)  # fmt: skip


def pictures(evidence: Evidence) -> Iterator[Picture]:
    return _along.pictures(evidence, _ALONG)
