"""The knobs of backend=lowmem."""

from __future__ import annotations

from honed.knob import Knob

STREAM = "stream"

STRATEGY = Knob(
    "lowmem.strategy",
    "how weights come into memory: used from the mapped file (stream), or the published ways",
    (STREAM, "lazy", "keep_embedding", "chunked_embedding"),
)

KNOBS = (STRATEGY,)
