"""The settings of a server: where it listens, what it admits, how it batches."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honed.case import CORE_KEYS, check_value
from honed.errors import UsageError, nearest
from honed.knobs import all_knobs

_KEY_VARIABLE = "HONED_API_KEY"
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _key(help: str, default: Any, **limits: Any) -> Any:
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Every setting of a server that is not a setting of its Case."""

    host: str = _key("the address to listen on; 0.0.0.0 for every interface", "127.0.0.1")
    port: int = _key("the port; 0 lets the system choose one", 8080, at_least=0)
    name: str | None = _key("the name of the model in answers; unset: its folder or shape", None)
    policy: str = _key("which queued texts make the next batch", "by_length")
    max_wait_s: float = _key("refuse a request that would be answered later than this", 10.0,
                             above=0)  # fmt: skip
    timeout_s: float = _key("drop a request that is not answered after this long", 60.0, above=0)
    max_client_batch: int = _key("the most texts in one request", 2048, at_least=1)
    max_body_bytes: int = _key("the largest body of a request", 16 * 2**20, at_least=1)
    max_length: int | None = _key("the most tokens of a text; unset: the model's own", None,
                                  at_least=1)  # fmt: skip
    auto_truncate: bool = _key("cut longer texts where the request does not say", True)
    batch_tokens: int | None = _key(
        "the most tokens in one batch, padding included; unset: measured at start", None,
        at_least=1,
    )  # fmt: skip
    batch_rows: int = _key("the most texts in one batch", 64, at_least=1)
    quantum_ms: float = _key("no batch of several texts is predicted to take longer", 50.0,
                             above=0)  # fmt: skip
    front_cores: int = _key(
        "cores that stay free of workers, for the front itself; 0: it shares theirs", 0,
        at_least=0,
    )  # fmt: skip
    express: int = _key(
        "workers more than instances, for short texts alone: they share the cores of the others, "
        "go before them, and compute only while long texts hold up short ones", 0, at_least=0,
    )  # fmt: skip
    gives_way: int | None = _key(
        "how many levels of nice the workers are below express workers and the front; other "
        "programs go before them as well; unset: 5 where there are express workers, else 0", None,
        at_least=0,
    )  # fmt: skip
    drain_s: float = _key("after SIGTERM, answer what is queued for at most this long", 30.0,
                          above=0)  # fmt: skip
    drain_delay_s: float = _key(
        "after SIGTERM, report not ready but accept for this long first", 0.0, at_least=0
    )
    canary_s: float = _key("check a worker that has been idle for this long", 5.0, above=0)
    api_keys: str | None = _key(
        f"file of bearer keys, one a line; unset: the variable {_KEY_VARIABLE}, else no key", None
    )
    cors: str | None = _key("the origin that browsers may call from; unset: none", None)
    access_log: str = _key("a JSON line for each request: off, stderr, or a file", "off")
    traces: bool = _key(
        "send a span for each request to OpenTelemetry's OTEL_EXPORTER_OTLP_ENDPOINT", False
    )

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            check_value(spec, getattr(self, spec.name))

    def keys(self) -> frozenset[str]:
        """The bearer keys that are accepted; empty where no key is asked for."""
        if self.api_keys is None:
            given = os.environ.get(_KEY_VARIABLE, "").strip()
            return frozenset([given] if given else [])
        try:
            lines = Path(self.api_keys).read_text().splitlines()
        except OSError as error:
            raise UsageError(
                f"cannot read api_keys={self.api_keys}: {error.strerror}", "one key a line"
            ) from None
        keys = frozenset(filter(None, map(str.strip, lines)))
        if not keys:
            raise UsageError(f"api_keys={self.api_keys} holds no key", "one key a line")
        return keys


_FIELDS = {spec.name: spec for spec in dataclasses.fields(ServeSettings)}


def help_lines() -> dict[str, str]:
    """Every key of a server with its help line."""
    return {name: str(spec.metadata["help"]) for name, spec in _FIELDS.items()}


def split(words: Sequence[str]) -> tuple[ServeSettings, list[str]]:
    """The settings among key=value words, and the other words, which describe the Case.

    Raises UsageError for a key that neither knows.
    """
    settings: dict[str, Any] = {}
    others = []
    for word in words:
        key, equals, text = word.partition("=")
        if equals and key in _FIELDS:
            settings[key] = _typed(key, text)
            continue
        if equals and key not in CORE_KEYS and key not in all_knobs():
            known = {*_FIELDS, *CORE_KEYS, *all_knobs()}
            hint = nearest(key, known, "`honed serve --keys` and `honed run --keys` list them")
            raise UsageError(f"no setting is called {key!r}", hint)
        others.append(word)
    return ServeSettings(**settings), others


def _typed(key: str, text: str) -> Any:
    """The text of a word in its field's type; a text that does not fit is left to the check."""
    kind = str(_FIELDS[key].type).removesuffix(" | None")
    if text == "null":
        return None
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
        if kind == "bool":
            return _TRUTHS.get(text.lower(), text)
    except ValueError:
        pass
    return text
