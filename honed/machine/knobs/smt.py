"""Whether an instance may use the second hardware thread of a core."""

from __future__ import annotations

from honed.knob import Knob
from honed.machine import affinity, topology


def _smt_here() -> str:
    """`on` if the threads of this process may run on two siblings of one core."""
    allowed = set(affinity.allowed_cpus())
    cores = topology.read().cores()
    return "on" if any(len({c.id for c in core} & allowed) > 1 for core in cores) else "off"


def _no_siblings() -> str:
    has_siblings = any(len(core) > 1 for core in topology.read().cores())
    return "" if has_siblings else "every core has one thread"


KNOBS = (
    Knob(
        name="smt",
        help="whether second siblings of cores may be used, once every core has a thread",
        values=("off", "on"),
        phase="spawn",
        read_back=_smt_here,
        moot=_no_siblings,
        # "on" allows siblings, but an instance that fits without them gets none.
        proves=lambda wanted, read: wanted in ("on", read),
    ),
)
