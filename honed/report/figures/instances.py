"""Latency and throughput over instances: on more cores, or with the same cores shared out."""

from __future__ import annotations

from collections.abc import Iterator

from honed.report.evidence import Evidence
from honed.report.figures import _along
from honed.report.figures.base import Picture

ORDER = 50
ON_MORE = _along.Along(
    "instances",
    "Instances, each on cores of its own",
    "number of instances",
    "{} instances",
    "instances",
)
_SHARED = _along.Along(
    "instances", "Instances that share the cores out", "number of instances", "{} instances",
    "instances",
    tied=("threads",), apart=("cores",),
)  # fmt: skip


def pictures(evidence: Evidence) -> Iterator[Picture]:
    yield from _along.pictures(evidence, ON_MORE)
    yield from _along.pictures(evidence, _SHARED)
