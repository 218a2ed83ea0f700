"""tune: find the setting of this machine that makes one model run best, and prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from honed.study import Outcome

__all__ = ["tune"]


def tune(
    *words: str, store: str | None = None, resume: str | None = None, **settings: Any
) -> Outcome:
    """Search, confirm, and return the outcome, as `honed tune WORDS` does.

    Words may be keywords too: `tune(model="bert-base-uncased", objective="latency", trials=20)`. A
    list leaves the choice of a value to the search (`backend=["torch", "openvino"]`); a list for
    `limit` is several limits. `resume` is the name of a stored study.
    """
    from honed.tune import api
    from honed.values import as_typed

    words = tuple(words)
    for key, value in settings.items():
        values = [as_typed(v) for v in (value if isinstance(value, list | tuple) else [value])]
        grouped = values if key == "limit" else [",".join(values)]
        words += tuple(f"{key}={text}" for text in grouped)
    options = api.TuneOptions(store=store)
    study = api.resumed(resume, words, options) if resume else api.new(words, options)
    return api.run(study, options)
