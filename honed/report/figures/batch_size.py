"""Latency and throughput over the batch size."""

from __future__ import annotations

from honed.report.figures._along import Along

ORDER = 20
pictures = Along("batch_size", "Batch size", "batch size", "batch size {}",
                 "batch size, sequences per call").pictures  # fmt: skip
