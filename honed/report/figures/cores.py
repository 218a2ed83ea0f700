"""Latency and throughput over the cores of one instance."""

from __future__ import annotations

from collections.abc import Iterator

from honed.report.evidence import Evidence
from honed.report.figures import _along
from honed.report.figures.base import Picture

ORDER = 40
ALONG = _along.Along("threads", "Cores", "number of cores", "{} cores", "cores per instance")


def pictures(evidence: Evidence) -> Iterator[Picture]:
    return _along.pictures(evidence, ALONG)
