"""Latency and throughput over the sequence length."""

from __future__ import annotations

from honed.report.figures._along import Along

ORDER = 30
pictures = Along("sequence_length", "Sequence length", "length", "{} tokens",
                 "tokens per sequence").pictures  # fmt: skip
