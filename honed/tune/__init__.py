"""tune: the setting of this machine that makes one model run best, found and proven."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from honed.tune.outcome import Outcome

__all__ = ["tune"]


def tune(*words: str, store: str | None = None, resume: str | None = None, **said: Any) -> Outcome:
    """Search, confirm, and return what was found; what `honed tune WORDS` does.

    Words may be given as keywords too: `tune(model="bert-base-uncased", objective="latency",
    trials=20)`; a list leaves its values to the search (`backend=["torch", "openvino"]`), and is
    for `limit` several limits. `resume` is the name of a stored study.
    """
    from honed.tune import api

    how = api.How(store=store)
    given = [*words, *(w for key, value in said.items() for w in _spelled(key, value))]
    study = api.resumed(resume, given, how) if resume else api.new(given, how)
    return api.run(study, how)


def _spelled(key: str, value: Any) -> Iterable[str]:
    if isinstance(value, list | tuple):
        if key == "limit":
            return [f"limit={v}" for v in value]
        return [f"{key}={','.join(map(_plain, value))}"]
    return [f"{key}={_plain(value)}"]


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
