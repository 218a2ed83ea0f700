"""serve: one Case behind HTTP, by pinned workers that are proven like measured ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from honed.case import Case

__all__ = ["serve"]


def serve(case: Case, **settings: Any) -> None:
    """Serve one Case until SIGTERM or Ctrl-C, then answer what is queued and return.

    `settings` are fields of `honed.serve.settings.ServeSettings`, such as `port=8080`. Raises
    HonedError where the model cannot be loaded or its outputs diverge from the fp32 reference.
    """
    from honed.serve.front import run
    from honed.serve.settings import ServeSettings

    run(case, ServeSettings(**settings))
