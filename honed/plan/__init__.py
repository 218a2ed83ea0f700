"""plan: how much memory a model will take, before anything runs, and what fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from honed.plan.answer import Plan

__all__ = ["plan"]


def plan(*words: str, **settings: Any) -> Plan:
    """The answer to `honed plan WORDS`, as data.

    Words may be keywords too: `plan(model="bert-large-uncased", mode="train", batch_size=8,
    device="cuda:16GiB")`. A list asks for several values: `batch_size=[1, 8]`.
    """
    from honed.plan.answer import answer
    from honed.plan.question import parse
    from honed.values import as_typed

    words = tuple(words)
    for key, value in settings.items():
        values = value if isinstance(value, list | tuple) else [value]
        words += (f"{key}={','.join(map(as_typed, values))}",)
    return answer(parse(words))
