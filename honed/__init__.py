"""honed: measures how a transformer runs on your machine, tunes it, and proves the gain."""

import importlib
from typing import TYPE_CHECKING, Any

from honed.case import Case
from honed.errors import HonedError

# `honed.plan`, `honed.run`, `honed.serve` and `honed.tune` are the functions, not the rooms of
# these names. The names stay bound to the functions, since Python sets the attribute of a
# submodule only when it first loads.
from honed.plan import plan
from honed.record import Record
from honed.run import run
from honed.serve import serve
from honed.tune import tune

if TYPE_CHECKING:
    from honed.backends.lowmem.front import lowmem
    from honed.stored import records

__version__ = "0.1.0"
__all__ = ["Case", "HonedError", "Record", "lowmem", "plan", "records", "run", "serve",
           "tune"]  # fmt: skip


# Functions whose files import numpy or SQLAlchemy, and so come when they are asked for.
_LATE = {"lowmem": "honed.backends.lowmem.front", "records": "honed.stored"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name]), name)
