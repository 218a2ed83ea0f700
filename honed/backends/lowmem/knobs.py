"""The knobs of backend=lowmem."""

from __future__ import annotations

from honed.backends.lowmem import small
from honed.knob import Knob, SpawnEffect

STREAM = "stream"

STRATEGY = Knob(
    "lowmem.strategy",
    "how weights come into memory: used from the mapped file (stream), or the published ways",
    (STREAM, "lazy", "keep_embedding", "chunked_embedding"),
)

# Set before the process starts: the small engine's process must never import torch.
_ENGINES = {"torch": SpawnEffect({"HONED_LOWMEM_ENGINE": "torch"}), small.NAME: small.ENVIRONMENT}
ENGINE = Knob(
    "lowmem.engine",
    "what computes: torch, or numpy alone, in a process that is small as a whole",
    tuple(_ENGINES), "spawn", spawn=lambda value: _ENGINES[str(value)],
)  # fmt: skip

KEPT, RELEASED = "kept", "released"
PAGES = Knob(
    "lowmem.pages",
    "mapped weights are given back after each use, or kept and shared with other instances",
    (RELEASED, KEPT),
)

KNOBS = (ENGINE, STRATEGY, PAGES)
