"""Refusals: why a request gets no answer, as a status and a kind that every dialect can say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum


class Kind(Enum):
    """The status of a refusal, its name as text-embeddings-inference writes it, and its usual
    reason in the metrics."""

    BAD_JSON = 400, "Validation", "validation"
    EMPTY = 400, "Empty", "empty"
    UNAUTHORIZED = 401, "Unauthorized", "unauthorized"
    NOT_FOUND = 404, "NotFound", "not_found"
    METHOD = 405, "MethodNotAllowed", "not_found"
    TOO_LARGE = 413, "Validation", "too_large"
    MEDIA = 415, "Validation", "validation"
    VALIDATION = 422, "Validation", "validation"
    TOKENIZER = 422, "Tokenizer", "tokenizer"
    BACKEND = 424, "Backend", "backend"
    OVERLOADED = 429, "Overloaded", "overloaded"
    INTERNAL = 500, "Internal", "internal"
    UNHEALTHY = 503, "Unhealthy", "not_ready"
    TIMEOUT = 504, "Timeout", "deadline"

    @property
    def status(self) -> int:
        return int(self.value[0])

    @property
    def type(self) -> str:
        return str(self.value[1])

    @property
    def usual_reason(self) -> str:
        return str(self.value[2])


# Reasons that say more than the kind of the refusal does.
_FINER_REASONS = ("disconnected", "inference", "not_finite", "poison", "slow_body")
REASONS = tuple(sorted({*_FINER_REASONS, *(kind.usual_reason for kind in Kind)}))


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of honed
    """A request that is answered with an error. `reason`, one of REASONS, labels it in the
    metrics; left out, it is the usual one of the kind."""

    def __init__(
        self, kind: Kind, message: str, reason: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.reason = reason or kind.usual_reason
        assert self.reason in REASONS, f"the metrics have no reason {self.reason}"
        self.headers = dict(headers or {})


def invalid(message: str) -> Refusal:
    """A request that can never be answered as it is."""
    return Refusal(Kind.VALIDATION, message)


def empty(message: str = "`inputs` cannot be empty") -> Refusal:
    return Refusal(Kind.EMPTY, message)


# Clients of OpenAI's library do not try again where the wait is longer.
_LONGEST_RETRY_S = 120.0


def overloaded(excess_s: float, spread: float) -> Refusal:
    """Come again when the excess is worked off. `spread` is a random number in 0..1, so that
    clients do not all come back at once."""
    wait_s = min(max(excess_s * (1 + spread / 2), 0.05), _LONGEST_RETRY_S)
    headers = {
        "retry-after": str(max(1, math.ceil(wait_s))),
        "retry-after-ms": str(math.ceil(wait_s * 1000)),
    }
    return Refusal(Kind.OVERLOADED, "Model is overloaded", "overloaded", headers)


def late(timeout_s: float) -> Refusal:
    """The deadline passed. The client's library must not try again: that would add to the load."""
    return Refusal(
        Kind.TIMEOUT,
        f"the request was not answered within {timeout_s:g} s and was dropped from the queue",
        "deadline",
        {"x-should-retry": "false"},
    )
