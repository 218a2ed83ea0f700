"""Latency and throughput over the cores of one instance."""

from __future__ import annotations

from honed.report.figures._along import Along

ORDER = 40
ALONG = Along("threads", "Cores", "number of cores", "{} cores", "cores per instance")
pictures = ALONG.pictures
