"""Latency and throughput over instances: on more cores, or with the same cores shared out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from honed.report.evidence import Evidence
from honed.report.figures._along import Along
from honed.report.figures.base import Picture

ORDER = 50
ON_MORE = Along("instances", "Instances, each on cores of its own", "number of instances",
                "{} instances", "instances")  # fmt: skip
_SHARED = replace(
    ON_MORE, title="Instances that share the cores out", tied=("threads",), apart=("cores",)
)


def pictures(evidence: Evidence) -> Iterator[Picture]:
    yield from ON_MORE.pictures(evidence)
    yield from _SHARED.pictures(evidence)
