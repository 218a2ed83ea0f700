"""Profiles in the formats of other viewers: Chrome's trace events, and speedscope."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from honed.profile import OperatorEvent

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def chrome_trace(events: Sequence[OperatorEvent]) -> str:
    """JSON for chrome://tracing and https://ui.perfetto.dev."""
    complete = [
        {
            "name": event.op, "cat": event.phase, "ph": "X", "pid": 0, "tid": 0,
            "ts": event.began_s * 1e6, "dur": event.total_s * 1e6,
            "args": {"module": event.module, "phase": event.phase, "flops": event.flops,
                     "bytes": event.bytes},
        }
        for event in events
    ]  # fmt: skip
    return json.dumps({"traceEvents": complete, "displayTimeUnit": "ms"})


def speedscope(events: Sequence[OperatorEvent], name: str) -> str:
    """JSON for https://www.speedscope.app: one call as a flame graph, operators by module."""
    frames: dict[str, int] = {}
    moves: list[dict[str, Any]] = []
    open_frames: list[tuple[int, float]] = []  # each with the time of its end
    latest_s = 0.0
    for event in sorted(events, key=lambda e: (e.began_s, -e.total_s)):
        while open_frames and (
            len(open_frames) > event.depth or open_frames[-1][1] <= event.began_s
        ):
            latest_s = _close(moves, open_frames, latest_s)
        label = f"{event.op} [{event.module}]" if event.module else event.op
        frame = frames.setdefault(label, len(frames))
        # Times of a nested event may differ from its parent's by the clock's rounding.
        latest_s = max(latest_s, event.began_s)
        moves.append({"type": "O", "frame": frame, "at": latest_s})
        ends_s = event.began_s + event.total_s
        if open_frames:
            ends_s = min(ends_s, open_frames[-1][1])
        open_frames.append((frame, ends_s))
    while open_frames:
        latest_s = _close(moves, open_frames, latest_s)
    profile = {"type": "evented", "name": name, "unit": "seconds", "startValue": 0.0,
               "endValue": latest_s, "events": moves}  # fmt: skip
    shared = {"frames": [{"name": label} for label in frames]}
    return json.dumps({"$schema": _SCHEMA, "shared": shared, "profiles": [profile], "name": name})


def _close(
    moves: list[dict[str, Any]], open_frames: list[tuple[int, float]], latest_s: float
) -> float:
    """Close the innermost open frame; returns the latest time so far."""
    frame, ends_s = open_frames.pop()
    at_s = max(latest_s, ends_s)
    moves.append({"type": "C", "frame": frame, "at": at_s})
    return at_s
