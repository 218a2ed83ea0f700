"""Latency and throughput over the sequence length."""

from __future__ import annotations

from collections.abc import Iterator

from honed.report.evidence import Evidence
from honed.report.figures import _along
from honed.report.figures.base import Picture

ORDER = 30
_ALONG = _along.Along("sequence_length", "Sequence length", "length", "{} tokens",
    "tokens per sequence",
)  # fmt: skip


def pictures(evidence: Evidence) -> Iterator[Picture]:
    return _along.pictures(evidence, _ALONG)
