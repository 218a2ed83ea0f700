"""honed: how a transformer runs on your machine, made as good as it gets, and proven."""

from honed.case import Case
from honed.errors import HonedError
from honed.record import Record

# The verb, not the room: importing the function here binds the name for good, since Python sets
# a submodule's attribute only when it first loads.
from honed.run import run
from honed.tune import tune

__version__ = "0.1.0"
__all__ = ["Case", "HonedError", "Record", "run", "tune"]
