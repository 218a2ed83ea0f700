"""Python environments with other versions of the engines; `python=NAME` measures in one."""

from honed.environments.environment import (
    Environment,
    add,
    create,
    entries,
    find,
    get,
    interpreter,
    remove,
    root,
)

__all__ = ["Environment", "add", "create", "entries", "find", "get", "interpreter", "remove",
           "root"]  # fmt: skip
